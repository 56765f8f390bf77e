// A Caddy with the gateway and its dashboard, on free ports and with a store of its own.
import { execFile, spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { promisify } from "node:util";

export const stripeSecret = "whsec_c2x1aWNlLWVuZC10by1lbmQtdGVzdA";
export const githubSecret = "the secret of the test";

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

export const operator = { username: "grace", password: "the password of the test" };

function caddyfile({ port, admin, store, application, password }) {
  return `{
	admin 127.0.0.1:${admin}
	persist_config off
	auto_https off
	grace_period 2s
	log {
		output file ${store}.log
	}
	webhooks {
		store badger "${store}" {
			min_free 1MiB
		}
		destination billing {
			to    http://${application}/billing
			retry none
		}
		destination broken {
			to      http://${application}/broken
			retry   none
			breaker off
		}
		destination slow_retry {
			to      http://${application}/broken
			retry   1h
			breaker off
		}
		destination fragile {
			to      http://${application}/broken
			retry   1h
			breaker 2 10m
		}
		destination gone {
			to      http://${application}/gone
			breaker off
		}
	}
}

http://:${port} {
	bind 127.0.0.1
	handle /stripe {
		webhook stripe {
			name    payments
			secret  ${stripeSecret}
			mask    data.object.customer_email
			forward billing
			forward broken {
				events charge.*
			}
			forward slow_retry {
				events payout.*
			}
			forward fragile {
				events dispute.*
			}
		}
	}
	handle /github {
		webhook github {
			secret  "${githubSecret}"
			forward gone
		}
	}
	handle /private {
		webhook stripe {
			name    private
			secret  ${stripeSecret}
			redact
			forward billing
		}
	}
	handle_path /admin/hooks/* {
		basic_auth {
			${operator.username} ${password}
		}
		webhooks_dashboard
	}
	webhooks_dashboard /dashboard*
}
`;
}

export async function startGateway({ binary, application }) {
  const directory = await mkdtemp(join(tmpdir(), "sluice-e2e-"));
  const [port, admin] = [await freePort(), await freePort()];
  const file = join(directory, "Caddyfile");
  const { stdout } = await promisify(execFile)(binary, ["hash-password", "--plaintext", operator.password]);
  const write = (change = (text) => text) => writeFile(file, change(caddyfile({ port, admin, store: join(directory, "store"), application: application.address, password: stdout.trim() })));
  await write();
  const caddy = spawn(binary, ["run", "--config", file, "--adapter", "caddyfile"], { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory } });
  let said = "";
  for (const stream of [caddy.stdout, caddy.stderr]) stream.on("data", (chunk) => { said += chunk; });
  const ended = once(caddy, "exit");
  const origin = `http://127.0.0.1:${port}`;
  const gateway = {
    origin,
    local: `http://localhost:${port}`,
    dashboard: `${origin}/dashboard`,
    protected: `${origin}/admin/hooks`,
    stripe: (type, object = {}, options = {}) => sendStripe(`${origin}${options.path ?? "/stripe"}`, type, object, options),
    github: (event, payload) => sendGithub(`${origin}/github`, event, payload),
    api: async (method, path, body) => {
      const answer = await fetch(`http://127.0.0.1:${admin}/webhooks/${path}`, { method, headers: { "Content-Type": "application/json", Origin: `http://127.0.0.1:${admin}` }, body: body && JSON.stringify(body) });
      return { status: answer.status, body: await answer.json() };
    },
    reload: async (change) => {
      await write(change);
      await promisify(execFile)(binary, ["reload", "--config", file, "--adapter", "caddyfile", "--address", `127.0.0.1:${admin}`]);
    },
    stop: async () => {
      caddy.kill("SIGTERM");
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
  await Promise.race([untilUp(`${gateway.dashboard}/`), ended.then(() => { throw new Error(`caddy ended:\n${said}`); })]);
  return gateway;
}

async function untilUp(address) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      if ((await fetch(address)).ok) return;
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`${address} does not answer`, { cause: error });
    }
    if (Date.now() > deadline) throw new Error(`${address} does not answer`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function sendStripe(address, type, object, { id = `evt_${randomUUID().replaceAll("-", "").slice(0, 24)}`, secret = stripeSecret, at = Math.floor(Date.now() / 1000) } = {}) {
  const body = JSON.stringify({ id, object: "event", type, created: at, data: { object: { id: `obj_${id.slice(4, 12)}`, ...object } } });
  const signature = createHmac("sha256", secret).update(`${at}.${body}`).digest("hex");
  const answer = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json", "Stripe-Signature": `t=${at},v1=${signature}` }, body });
  await answer.arrayBuffer();
  return { id, status: answer.status };
}

async function sendGithub(address, event, payload) {
  const body = JSON.stringify(payload), id = randomUUID();
  const answer = await fetch(address, {
    method: "POST", body,
    headers: { "Content-Type": "application/json", "X-GitHub-Event": event, "X-GitHub-Delivery": id, "X-Hub-Signature-256": "sha256=" + createHmac("sha256", githubSecret).update(body).digest("hex") },
  });
  await answer.arrayBuffer();
  return { id, status: answer.status };
}
