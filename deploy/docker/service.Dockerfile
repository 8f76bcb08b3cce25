# One of the four services: docker build -f deploy/docker/service.Dockerfile --build-arg SERVICE=proxy-service .
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY tools/runtime/package.json tools/runtime/
RUN npm install --global "pnpm@$(node -p 'require("./tools/runtime/package.json").dependencies.pnpm')"
COPY pnpm-lock.yaml pnpm-workspace.yaml ./
COPY patches patches
RUN pnpm fetch
COPY . .
RUN pnpm install --offline --frozen-lockfile
RUN pnpm generate && pnpm exec tsc -b services/* apps/agent
ARG SERVICE
# The proxy looks for the pages beside its own folder; they are few enough not to be told apart by service.
# Not every part has all of the patched packages. Types and foreign source maps are of no use at run time.
RUN pnpm --filter "@gatehouse/$SERVICE" --prod --legacy --config.allow-unused-patches=true deploy /out/gatehouse \
  && cp -r --parents apps/web/public /out \
  && find /out \( -name "*.d.ts" -o -name "*.d.[cm]ts" -o -name "*.map" -not -path "*/@gatehouse*" -not -path "/out/gatehouse/dist/*" \) -type f -delete

FROM node:24-bookworm-slim
ARG SERVICE
LABEL org.opencontainers.image.title="gatehouse $SERVICE" org.opencontainers.image.licenses=Apache-2.0
COPY --from=build /out /srv
WORKDIR /srv/gatehouse
# Volumes that are mounted there begin with this owner.
RUN install -d -m 700 -o 1000 -g 1000 /var/lib/gatehouse
ENV GATEHOUSE_METRICS=http://127.0.0.1:9440
USER 1000:1000
# Ready or not is for balancers; a container that turns is healthy. The port stands in metrics_listen.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(process.env.GATEHOUSE_METRICS + '/healthz', {signal: AbortSignal.timeout(2500)}).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--enable-source-maps", "--disable-warning=ExperimentalWarning", "--import", "@gatehouse/kit/telemetry-start", "dist/src/main.js"]
CMD ["--config", "/etc/gatehouse/config.yaml"]
