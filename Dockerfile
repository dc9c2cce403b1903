# syntax=docker/dockerfile:1
# Crossdock as one static binary, run by nobody, in an image that holds nothing else.

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
ARG TARGETOS
ARG TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
# crossdock_static leaves the embedded ClickHouse engine out: it is a shared library, and a static binary loads none.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -tags crossdock_static -ldflags "-s -w" -o /out/crossdock ./cmd/crossdock \
    && install -d -o 65532 -g 65532 /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/crossdock /usr/local/bin/crossdock
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
# Ingress and the admin port (probes, metrics, profiles); what listens is set in the configuration.
EXPOSE 8080 9464
ENTRYPOINT ["/usr/local/bin/crossdock"]
CMD ["run"]
