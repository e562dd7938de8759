# An image with the static binary, CA certificates and time zones, nothing else.
#
#   docker build --build-arg VERSION="$(git describe --tags --always)" \
#     --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" -t rollcall .
#   docker run --rm -p 9115:9115 -v ./blackbox.yml:/blackbox.yml:ro rollcall

ARG GO_IMAGE=golang:1.26
ARG RUN_IMAGE=scratch

FROM ${GO_IMAGE} AS build
WORKDIR /src
# Modules change rarely: downloading them before copying the source keeps them in the build cache.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE_DATE_EPOCH
RUN make build VERSION="$VERSION" REVISION="$REVISION" SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \
	&& mkdir -p /out/data /out/etc/ssl/certs \
	&& cp rollcall "$(go env GOROOT)/lib/time/zoneinfo.zip" /out/ \
	&& cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/

FROM ${RUN_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rollcall" \
	org.opencontainers.image.description="Probes services for Prometheus and sends mail when one is down" \
	org.opencontainers.image.licenses="Apache-2.0" \
	org.opencontainers.image.version="${VERSION}" \
	org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/etc /etc
COPY --from=build /out/zoneinfo.zip /zoneinfo.zip
COPY --from=build /out/rollcall /rollcall
COPY --from=build --chown=65532:65532 /out/data /data
ENV ZONEINFO=/zoneinfo.zip
# A number, because the image has no /etc/passwd and runAsNonRoot must see that it is not 0.
USER 65532:65532
WORKDIR /
VOLUME /data
EXPOSE 9115
# If you change --web.listen-address, give healthcheck the same one.
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["/rollcall", "healthcheck"]
ENTRYPOINT ["/rollcall"]
