// The gateway, as an operator runs it, and applications behind it.
import { spawn } from "node:child_process";
import { createServer, request } from "node:http";
import { createInterface } from "node:readline";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { Incoming } from "./incoming.mjs";

async function whole(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

// Answers 200 to everything. next(name) is the first request for /<name>, which may have come already.
export async function startApplication() {
  const arrived = new Map();
  const place = (name) => {
    if (!arrived.has(name)) arrived.set(name, Promise.withResolvers ? Promise.withResolvers() : resolvers());
    return arrived.get(name);
  };
  const server = createServer(async (req, res) => {
    const body = await whole(req), url = new URL(req.url, `http://${req.headers.host}`);
    place(url.pathname.slice(1)).resolve(new Incoming({ method: req.method, url: url.href, headers: req.headers, body }));
    res.end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    next: (name) => place(name).promise,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

function resolvers() {
  const all = {};
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
}

// sources is a list of { name, provider, params, secret, forwards: [{ to, secret }] }: each forwards with `sign provider`. One whose secret is empty is unsigned_ok.
export async function startGateway(sources, binary = process.env.SLUICE_CADDY) {
  if (!binary) throw new Error("SLUICE_CADDY is not set: run .ci/crosscheck, or build cmd/caddy");
  const directory = await mkdtemp(join(tmpdir(), "sluice-crosscheck-"));
  const file = join(directory, "Caddyfile");
  await writeFile(file, await caddyfile(directory, sources));
  const caddy = spawn(binary, ["run", "--config", file, "--adapter", "caddyfile"], {
    stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory },
  });
  const ended = once(caddy, "exit");
  const said = [];
  const serving = new Promise((resolve) => {
    createInterface({ input: caddy.stderr }).on("line", (line) => {
      said.push(line);
      if (line.includes("serving initial configuration")) resolve();
    });
  });
  await Promise.race([serving, ended.then(() => { throw new Error(`the gateway ended:\n${said.join("\n")}`); })]);
  return {
    said,
    send: async (incoming) => {
      const { pathname, search, host } = new URL(incoming.url);
      const req = request({ socketPath: join(directory, "site"), method: incoming.method, path: pathname + search, headers: { ...incoming.headers, host, "content-length": incoming.body.length } });
      req.end(incoming.body);
      const [answer] = await once(req, "response");
      return { status: answer.statusCode, text: (await whole(answer)).toString() };
    },
    stop: async () => {
      caddy.kill("SIGTERM");
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function caddyfile(directory, sources) {
  let count = 0;
  const secretFile = async (secret) => {
    const name = join(directory, `secret-${count++}`);
    await writeFile(name, secret, { mode: 0o600 });
    return `"{file.${name}}"`;
  };
  let site = "";
  for (const { name, provider, params, secret, forwards } of sources) {
    site += `	handle /${name} {\n		webhook ${provider} {\n			name ${name}\n`;
    site += secret ? `			secret ${await secretFile(secret)}\n` : `			unsigned_ok\n`;
    for (const [param, value] of Object.entries(params)) site += `			param ${param} ${JSON.stringify(value)}\n`;
    for (const forward of forwards) site += `			forward ${forward.to} {\n				sign provider ${await secretFile(forward.secret)}\n			}\n`;
    site += `		}\n	}\n`;
  }
  return `{
	admin "unix/${directory}/admin"
	persist_config off
	auto_https off
	grace_period 2s
	webhooks {
		store badger "${directory}/store" {
			min_free 1MiB
		}
	}
}
http:// {
	bind "unix/${directory}/site"
${site}}
`;
}
