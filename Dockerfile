# One image for every process. Nothing but the lock file decides what Python packages are in it.
FROM golang:1.26-bookworm AS engine
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY node/engine/comet/build.py ./
RUN python3 build.py --to /engine

FROM python:3.11.14-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 descent
WORKDIR /srv/descent
COPY requirements.lock ./
RUN python -m venv .venv \
    && .venv/bin/python -m pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY . .
COPY --from=engine /engine/cometbft .cometbft/cometbft
RUN .venv/bin/python -m pip install --no-cache-dir --no-deps -e . \
    && .venv/bin/python -m exact.native.build \
    && mkdir /var/lib/descent \
    && chown descent /var/lib/descent
ENV DESCENT_COMETBFT=/srv/descent/.cometbft/cometbft \
    DESCENT_LOG_FORMAT=json \
    PYTHONDONTWRITEBYTECODE=1
USER descent
VOLUME /var/lib/descent
STOPSIGNAL SIGTERM
ENTRYPOINT [".venv/bin/descent"]
CMD ["--help"]
