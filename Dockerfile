# One image for all apps; the command says which: apps/login, apps/key-service, apps/service-a, apps/service-b.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json nest-cli.json ./
COPY apps apps
COPY libs libs
COPY migrations migrations
COPY test test
COPY tools tools
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
# Two arenas of malloc instead of one for each thread, and a young generation of half the size that V8 would let it have: 8 and
# some 15 MB less of a service at full load; see docs/performance.md.
ENV NODE_ENV=production HOST=0.0.0.0 MALLOC_ARENA_MAX=2 NODE_OPTIONS=--max-semi-space-size=8
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY docs/api docs/api
RUN mkdir /state && chown node:node /state
USER node
CMD ["node", "dist/apps/key-service/src/main.js"]
