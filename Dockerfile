# One image per role, from one set of steps: `--target api`, `--target worker`, `--target gpu-worker`.
# A release builds with `--build-arg BASE=debian:bookworm-slim@sha256:…`, which docker/pin_images.sh looks up.
ARG BASE=debian:bookworm-slim
FROM ${BASE} AS base
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 ca-certificates tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && useradd --system --uid 10001 --home-dir /data sentiloc \
    && install -d -o sentiloc -g sentiloc /data
ENV PATH=/opt/sentiloc/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SENTILOC_DATA_DIR=/data \
    SENTILOC_CACHE_DIR=/data/cache
VOLUME /data
# Children of a worker that end leave processes behind, which only the first process of a container can clear away.
ENTRYPOINT ["tini", "--"]

# The packages of the lock file come first, so that a change of the code installs none of them again.
FROM base AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip
WORKDIR /src
COPY docker/install.sh docker/build.lock docker/gpu.lock docker/gpu-host.lock requirements.lock ./
RUN sh install.sh dependencies
COPY pyproject.toml hatch_build.py README.md CHANGELOG.md LICENSE ./
COPY sentiloc sentiloc
COPY app app
COPY exported exported
COPY model model
COPY clients clients
COPY worker worker
RUN sh install.sh package

FROM build AS build-api
RUN sh install.sh api

# CUDA and cuDNN come with ONNX Runtime, the driver with the host; `--build-arg CUDA=` leaves them to the host, too.
FROM build AS build-gpu
ARG CUDA=yes
RUN sh install.sh gpu

FROM base AS api
COPY --from=build-api /opt/sentiloc /opt/sentiloc
USER sentiloc
ENV SENTILOC_HOST=0.0.0.0 \
    SENTILOC_HEALTH_PORT=8001
EXPOSE 8000 8001
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8001/healthz', timeout=2)"]
CMD ["sentiloc", "api"]

FROM base AS worker
COPY --from=build /opt/sentiloc /opt/sentiloc
USER sentiloc
HEALTHCHECK --interval=30s --timeout=10s --start-period=900s CMD ["sentiloc", "worker", "--check"]
CMD ["sentiloc", "worker"]

FROM base AS gpu-worker
COPY --from=build-gpu /opt/sentiloc /opt/sentiloc
USER sentiloc
ENV SENTILOC_DEVICE=cuda
HEALTHCHECK --interval=30s --timeout=10s --start-period=900s CMD ["sentiloc", "worker", "--check"]
CMD ["sentiloc", "worker"]
