# A small image of Loa that runs as nobody in particular.

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bin loa

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 65532 -g 65532 -m 0700 /var/lib/loa
COPY --from=build /build/target/release/loa /usr/local/bin/loa

# The container's network is the boundary here: what comes in from outside needs TLS in front.
ENV LOA__DATA_DIR=/var/lib/loa \
    LOA__HTTP__LISTEN=0.0.0.0:8080 \
    LOA__HTTP__ALLOW_PLAIN_HTTP=true
VOLUME /var/lib/loa
EXPOSE 8080
USER 65532:65532

# Longer than [send] grace, or what is in flight is cut off at a stop: docker stop --time 40.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["loa", "health"]
ENTRYPOINT ["loa"]
CMD ["run"]
