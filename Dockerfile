# One image per role, from one set of steps: `--target api`, `--target worker`, `--target gpu-worker`.
FROM debian:bookworm-slim AS base
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data sentiloc \
    && install -d -o sentiloc -g sentiloc /data
ENV PATH=/opt/sentiloc/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/tmp/numba \
    SENTILOC_DATA_DIR=/data \
    SENTILOC_CACHE_DIR=/data/cache
VOLUME /data

FROM base AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY cli cli
COPY exported exported
COPY model model
COPY sentiloc_client sentiloc_client
COPY worker worker
RUN python3 -m venv /opt/sentiloc && /opt/sentiloc/bin/pip install --no-cache-dir .

FROM build AS build-gpu
RUN /opt/sentiloc/bin/pip install --no-cache-dir ".[gpu]" \
    && /opt/sentiloc/bin/pip uninstall -y onnxruntime \
    && /opt/sentiloc/bin/pip install --no-cache-dir --force-reinstall --no-deps onnxruntime-gpu

FROM base AS api
COPY --from=build /opt/sentiloc /opt/sentiloc
USER sentiloc
ENV SENTILOC_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["sentiloc", "api"]

FROM base AS worker
COPY --from=build /opt/sentiloc /opt/sentiloc
USER sentiloc
CMD ["sentiloc", "worker"]

FROM base AS gpu-worker
COPY --from=build-gpu /opt/sentiloc /opt/sentiloc
USER sentiloc
ENV SENTILOC_DEVICE=cuda
CMD ["sentiloc", "worker"]
