# syntax=docker/dockerfile:1
# The image: one binary on a slim Debian, without root, shell tools or a writable root file system.

FROM rust:1.95-slim-trixie AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock rust-toolchain.toml* ./
COPY actors actors
COPY config config
COPY src src
# The workspace names them; nothing of them is in the binary.
COPY benches benches
COPY tests tests
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin trade-executor \
    && cp target/release/trade-executor /trade-executor

FROM debian:trixie-slim
RUN useradd --system --uid 10001 --user-group --home-dir /data --shell /usr/sbin/nologin trade-executor \
    && install -d -o trade-executor -g trade-executor -m 0700 /data
COPY --from=build /trade-executor /usr/local/bin/trade-executor
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080 9464
# A container is reached from outside of it, so it listens on all its addresses: PORT=8080 means 0.0.0.0:8080.
# Platforms set a PORT of their own.
ENV PORT=8080 \
    TRADE_EXECUTOR__METRICS__LISTEN=0.0.0.0:9464 \
    TRADE_EXECUTOR__LOG__FORMAT=json
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=4s --start-period=30s --retries=3 \
    CMD ["trade-executor", "health", "--data-dir", "/data"]
ENTRYPOINT ["trade-executor", "--data-dir", "/data"]
