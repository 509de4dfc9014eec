/**
 * Builds the console into the Python package, which serves it at `/`.
 *
 * Everything leaves as files of its own (no inlined script, style or data: URL), so a strict
 * Content-Security-Policy holds. `npm run dev` serves the sources and passes the rest on to a running
 * `callboard serve --demo`.
 */
import { defineConfig } from "vitest/config";

const server = "http://127.0.0.1:3002";

export default defineConfig({
  base: "./",
  build: {
    outDir: "../src/callboard/web",
    emptyOutDir: true,
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    port: 5173,
    strictPort: true,
    proxy: {
      "/api": server,
      "/config.json": server,
      "/demo": server,
      "/socket.io": { target: server, ws: true },
    },
  },
  test: { include: ["src/**/*.test.ts"], env: { TZ: "UTC" } },
});
