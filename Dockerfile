# A devnet in one container. Nothing but the lock file decides what is installed.
FROM python:3.11.14-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home descent
WORKDIR /srv/descent
COPY requirements.lock ./
RUN python -m venv .venv \
    && .venv/bin/python -m pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY . .
RUN .venv/bin/python -m pip install --no-cache-dir --no-deps -e . \
    && .venv/bin/python -m exact.native.build \
    && mkdir /var/lib/descent \
    && chown descent /var/lib/descent
USER descent
VOLUME /var/lib/descent
STOPSIGNAL SIGINT
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=6 \
    CMD [".venv/bin/descent", "devnet", "status", "--home", "/var/lib/descent", "--output", "json"]
ENTRYPOINT [".venv/bin/descent"]
CMD ["devnet", "up", "--home", "/var/lib/descent"]
