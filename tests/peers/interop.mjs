// Runs one scenario of the unmodified socket.io-client against a server and prints what it saw, one JSON object a
// line. It judges nothing: the Python test that started it does.
//
//   node interop.mjs URL SCENARIO

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [, , url, scenario] = process.argv;
const options = { reconnectionDelay: 20, reconnectionDelayMax: 100, randomizationFactor: 0, forceNew: true };

function say(seen, fields = {}) {
  console.log(JSON.stringify({ seen, ...fields }));
}

function once(emitter, name) {
  return new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));
}

function describe(value) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    const bytes = Buffer.from(value.buffer ?? value, value.byteOffset ?? 0, value.byteLength);
    return { bytes: bytes.toString("base64") };
  }
  if (Array.isArray(value)) return value.map(describe);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, describe(inner)]));
  }
  return value;
}

async function connected(socket) {
  const auth = once(socket, "auth");
  await once(socket, "connect");
  say("connect", {
    namespace: socket.nsp,
    transport: socket.io.engine.transport.name,
    id: socket.id,
    recovered: Boolean(socket.recovered),
  });
  say("auth", { namespace: socket.nsp, args: describe(await auth) });
}

async function upgraded(socket) {
  const engine = socket.io.engine;
  if (engine.transport.name !== "websocket") await once(engine, "upgrade");
  say("transport", { name: engine.transport.name });
}

async function exchange(socket, ...args) {
  const back = once(socket, "message-back");
  socket.emit("message", ...args);
  say("message-back", { namespace: socket.nsp, args: describe(await back) });
  const acknowledged = await new Promise((resolve) => socket.emit("message-with-ack", ...args, (...got) => resolve(got)));
  say("ack", { namespace: socket.nsp, args: describe(acknowledged) });
}

const scenarios = {
  async upgrade() {
    const socket = io(url, { ...options, auth: { token: "abc" } });
    socket.io.once("open", () => say("open", { transport: socket.io.engine.transport.name }));
    await connected(socket);
    await upgraded(socket);
    await exchange(socket, 1, "zwei €", { three: [true, null] });
    socket.disconnect();
  },

  async transports() {
    for (const transport of ["polling", "websocket"]) {
      const socket = io(url, { ...options, transports: [transport] });
      await connected(socket);
      await exchange(socket, transport, Buffer.from([0, 1, 254, 255]));
      socket.disconnect();
    }
  },

  async namespaces() {
    const manager = { ...options, forceNew: false };
    const main = io(url, { ...manager, auth: { who: "main" } });
    const custom = io(`${url}/custom`, { ...manager, auth: { who: "custom" } });
    await Promise.all([connected(main), connected(custom)]);
    say("shared", { value: main.io === custom.io });
    await upgraded(main);
    await Promise.all([exchange(main, "to main"), exchange(custom, "to custom")]);
    custom.disconnect();
    await exchange(main, "main still here");
    const again = connected(custom);
    custom.connect();
    await again;
    await exchange(custom, "custom again");
    main.disconnect();
    custom.disconnect();
  },

  async refused() {
    const socket = io(`${url}/random`, options);
    const [error] = await once(socket, "connect_error");
    say("connect_error", { message: error.message });
    socket.disconnect();
  },

  async binary() {
    const socket = io(url, options);
    await connected(socket);
    await exchange(socket, Buffer.from([1, 2, 3]), { nested: [Buffer.alloc(0), Uint8Array.from([255])] }, "text");
    await upgraded(socket);
    await exchange(socket, Buffer.from([1, 2, 3]), { nested: [Buffer.alloc(0), Uint8Array.from([255])] }, "text");
    socket.disconnect();
  },

  async large() {
    const socket = io(url, options);
    await connected(socket);
    for (const phase of ["polling", "websocket"]) {
      if (phase === "websocket") await upgraded(socket);
      for (const value of ["x".repeat(400_000), Buffer.alloc(400_000, 7)]) {
        const got = await new Promise((resolve) => socket.emit("message-with-ack", value, resolve));
        say("large", { length: got.length ?? got.byteLength, same: Buffer.from(got).equals(Buffer.from(value)) });
      }
    }
    socket.disconnect();
  },

  async burst() {
    // From the first poll over the upgrade: nothing lost, nothing twice, in order.
    const socket = io(url, options);
    const received = [];
    const done = new Promise((resolve) => {
      socket.on("message-back", (number) => {
        received.push(number);
        if (number < 400) socket.emit("message", number + 20);
        else if (number === 419) resolve();
      });
    });
    await connected(socket);
    for (let number = 0; number < 20; number += 1) socket.emit("message", number);
    await done;
    say("burst", { received });
    await upgraded(socket);
    socket.disconnect();
  },

  async dropped() {
    const manager = { ...options, forceNew: false };
    const main = io(url, manager);
    const custom = io(`${url}/custom`, manager);
    await Promise.all([connected(main), connected(custom)]);
    await upgraded(main);
    const gone = Promise.all([once(main, "disconnect"), once(custom, "disconnect")]);
    const back = Promise.all([connected(main), connected(custom)]);
    main.io.engine.write("no Socket.IO packet");
    for (const [reason] of await gone) say("disconnect", { reason });
    await back;
    await exchange(main, "main is back");
    await exchange(custom, "custom is back");
    main.disconnect();
    custom.disconnect();
  },

  async restarted() {
    const socket = io(url, options);
    await connected(socket);
    await upgraded(socket);
    const gone = once(socket, "disconnect");
    const back = connected(socket);
    say("ready");
    const [reason] = await gone;
    say("disconnect", { reason });
    socket.emit("message", "kept by the client");
    const kept = once(socket, "message-back");
    await back;
    say("message-back", { namespace: socket.nsp, args: await kept });
    socket.disconnect();
  },

  async quiet() {
    // Lives on heartbeats alone, on both transports, until told to stop.
    const sockets = ["polling", "websocket"].map((transport) => io(url, { ...options, transports: [transport] }));
    let drops = 0;
    for (const socket of sockets) socket.on("disconnect", () => (drops += 1));
    await Promise.all(sockets.map(connected));
    await Promise.all(
      sockets.map(
        (socket) =>
          new Promise((resolve) => {
            let pings = 0;
            socket.io.on("ping", () => (pings += 1) === 5 && resolve());
          }),
      ),
    );
    say("quiet", { drops });
    for (const socket of sockets) socket.disconnect();
  },
};

createInterface({ input: process.stdin }).on("close", () => process.exit(0));
await scenarios[scenario]();
say("end");
process.exit(0);
