# The image: one static binary and nothing else. Built by scripts/image.sh, which makes the binary
# and hands it over with this file; `docker build .` finds no binary here.
FROM scratch

ARG VERSION
ARG DESCRIPTION
ARG LICENSES
LABEL org.opencontainers.image.title="ringherd" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.description="${DESCRIPTION}" \
      org.opencontainers.image.licenses="${LICENSES}"

COPY ringherd /ringherd

# A container is reached at its own address. The admin API stays inside: replicas share the network,
# and nobody among them has a reason to administer. With --public-admin on, GET /rep, POST /add and
# DELETE /rm are served at 5000 as well.
ENV RINGHERD_LISTEN=0.0.0.0:5000 RINGHERD_ADMIN_LISTEN=127.0.0.1:5001
EXPOSE 5000

# Nobody, which is enough for a replica and for a balancer with --runtime process. A balancer that
# uses the engine's socket needs a user who may open it: see compose.yaml.
USER 65532:65532

# Asks the balancer, or the replica where the container is one.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["/ringherd", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/ringherd"]
