# The agent: docker build -f deploy/docker/agent.Dockerfile .
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
# Not every part has all of the patched packages. Types and foreign source maps are of no use at run time.
RUN pnpm --filter @gatehouse/agent --prod --legacy --config.allow-unused-patches=true deploy /out/gatehouse \
  && find /out \( -name "*.d.ts" -o -name "*.d.[cm]ts" -o -name "*.map" -not -path "*/@gatehouse*" -not -path "/out/gatehouse/dist/*" \) -type f -delete

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="gatehouse agent" org.opencontainers.image.licenses=Apache-2.0
COPY --from=build /out /srv
WORKDIR /srv/gatehouse
# Volumes that are mounted there begin with this owner.
RUN install -d -m 700 -o 1000 -g 1000 /var/lib/gatehouse
USER 1000:1000
ENTRYPOINT ["node", "--enable-source-maps", "--disable-warning=ExperimentalWarning", "--import", "@gatehouse/kit/telemetry-start", "dist/src/main.js"]
CMD ["--data-dir", "/var/lib/gatehouse", "--config", "/etc/gatehouse/agent.yaml"]
