# docker build -t hone .    (or `make image`)
FROM debian:trixie-slim AS builder
WORKDIR /src
COPY deploy/packages.txt deploy/install-packages deploy/
RUN deploy/install-packages
COPY . .
ARG JOBS=2
RUN cmake --preset release -DHONE_TESTS=OFF \
 && cmake --build --preset release -j "$JOBS" --target hone honed hone-worker hone-sentencepiece
# The packages that hold the libraries which the programs load.
RUN cd build/release/bin && ldd hone honed hone-worker hone-sentencepiece \
  | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | sort -u | xargs readlink -f | xargs dpkg -S \
  | cut -d: -f1 | sort -u > /src/runtime-packages.txt

FROM debian:trixie-slim
RUN --mount=type=bind,from=builder,source=/src/runtime-packages.txt,target=/tmp/runtime-packages.txt \
    apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends ca-certificates curl $(cat /tmp/runtime-packages.txt) \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin hone \
 && install -d -o hone -g hone /data
COPY --from=builder /src/build/release/bin/hone /src/build/release/bin/honed /src/build/release/bin/hone-worker \
  /src/build/release/bin/hone-sentencepiece /usr/local/bin/
COPY --from=builder /src/client/examples /usr/share/hone/examples
USER hone
VOLUME /data
ENV HONED_DATA_DIR=/data
EXPOSE 8080 9464 50051
# What the server tells everybody, whatever TLS and tokens it has.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD curl -fsSk --noproxy '*' -o /dev/null "http${HONED_TLS_CERT:+s}://${HONED_METRICS_LISTEN:-127.0.0.1:9464}/readyz"
# Only the container itself reaches this server until HONED_LISTEN says otherwise, with HONED_TLS_CERT and so on (deploy/README.md, "Doors") or with
# HONED_INSECURE_LISTEN (deploy/compose.yaml).
CMD ["honed"]
