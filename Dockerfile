# Made from scripts/image/contents.ts by scripts/image/dockerfile.ts: change it there.
FROM restic/restic:0.18.0 AS restic

FROM golang:1.26-bookworm AS kustomize
RUN CGO_ENABLED=0 go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.1

FROM node:24.21.0-bookworm-slim AS modules
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-fund --no-audit \
  && find node_modules -type f \( -iname '*.ts' -o -iname '*.mts' -o -iname '*.cts' -o -iname '*.map' -o -iname '*.md' -o -iname '*.markdown' -o -iname '*.flow' -o -iname '*.tsbuildinfo' \) -delete

FROM node:24.21.0-bookworm-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates dash git gpg openssh-client \
  && rm -rf /var/lib/apt/lists/* \
  && groupadd --gid 65532 backstay \
  && useradd --uid 65532 --gid 65532 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin backstay
COPY --from=restic /usr/bin/restic /usr/local/bin/restic
COPY --from=kustomize /go/bin/kustomize /usr/local/bin/kustomize
COPY --from=modules /app/node_modules /app/node_modules
COPY package.json /app/package.json
COPY src /app/src
COPY webhook /app/webhook
COPY schemas /app/schemas
COPY policies /app/policies
ENV PATH=/usr/local/bin:/usr/bin:/bin
ENV NODE_ENV=production
ENV HOME=/tmp
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/node","/app/src/cli/main.ts"]
