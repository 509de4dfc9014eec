// The unmodified socket.io-client with connection state recovery, told what to do by lines on its standard input. It
// prints what it sees, one JSON object a line, and judges nothing: the Python test that started it does.
//
//   node recovery.mjs URL TRANSPORTS        TRANSPORTS: separated by commas
//
//   {"do": "open", "namespace", "token"}    connect to a namespace; all share one connection
//   {"do": "token", "namespace", "token"}   use another token from now on
//   {"do": "connect", "namespace"}          connect again after a refusal, which the client does not do by itself
//   {"do": "ask", "namespace", "name", "data"}   send a message and print its acknowledgement
//   {"do": "forget", "namespace"}           forget the place of the last message, as if none had come

import { createInterface } from "node:readline";
import { Manager } from "socket.io-client";

const [, , url, transports] = process.argv;
const manager = new Manager(url, {
  transports: transports.split(","),
  reconnectionDelay: 20,
  reconnectionDelayMax: 100,
  randomizationFactor: 0,
  autoConnect: false,
});
const sockets = {};
const tokens = {};

function say(seen, namespace, fields = {}) {
  console.log(JSON.stringify({ seen, namespace, ...fields }));
}

const commands = {
  open({ namespace, token }) {
    tokens[namespace] = token;
    const socket = manager.socket(namespace, { auth: (give) => give({ token: tokens[namespace] }) });
    sockets[namespace] = socket;
    socket.on("connect", () => {
      say("connect", namespace, { recovered: socket.recovered === true, transport: manager.engine.transport.name });
    });
    socket.on("connect_error", ({ message, data }) => say("connect_error", namespace, { message, code: data?.code }));
    socket.on("disconnect", (reason) => say("disconnect", namespace, { reason }));
    socket.onAny((name, ...args) => say("message", namespace, { name, args }));
    socket.connect();
  },
  token({ namespace, token }) {
    tokens[namespace] = token;
  },
  connect({ namespace }) {
    sockets[namespace].connect();
  },
  ask({ namespace, name, data }) {
    sockets[namespace].emit(name, data, (answer) => say("answer", namespace, { answer }));
  },
  forget({ namespace }) {
    delete sockets[namespace]._lastOffset;
  },
};

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { do: name, ...rest } = JSON.parse(line);
    commands[name](rest);
  })
  .on("close", () => process.exit(0));
