// Bundles the site's one script into the Python package. `--check` compares it with the one that is there, `--test` runs
// the tests instead.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const shared = { bundle: true, target: "es2021", legalComments: "none", logLevel: "warning" };

if (process.argv.includes("--test")) {
  const folder = mkdtempSync(join(import.meta.dirname, ".test-"));
  try {
    const entryPoints = readdirSync("test").filter((name) => name.endsWith(".test.ts")).map((name) => join("test", name));
    await build({ ...shared, entryPoints, outdir: folder, platform: "node", format: "esm", outExtension: { ".js": ".mjs" } });
    process.exitCode = spawnSync(process.execPath, ["--test", folder], { stdio: "inherit" }).status ?? 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
} else {
  const outfile = "../src/kemb/publishing/static/kemb.js";
  const options = { ...shared, entryPoints: ["src/main.ts"], outfile, format: "iife", minify: true, charset: "utf8" };
  if (process.argv.includes("--check")) {
    const [built] = (await build({ ...options, write: false })).outputFiles;
    if (built.text !== readFileSync(outfile, "utf8")) {
      console.error("src/kemb/publishing/static/kemb.js is not what frontend/ builds; type make frontend");
      process.exitCode = 1;
    }
  } else {
    await build(options);
  }
}
