import { mount } from "svelte";
import "./app.css";
import App from "./App.svelte";
import { tokenOf } from "./lib/address";
import { Explorer } from "./lib/explorer.svelte";
import { FileTransport } from "./lib/fileTransport";
import { FrameMemory, PageAddress } from "./lib/memory";
import { HttpTransport } from "./lib/protocol";

const file = FileTransport.of(document);
const token = file ? "" : tokenOf(location.hash);
const address = location.protocol === "about:" ? null : new PageAddress(token);
const explorer = new Explorer(file ?? new HttpTransport(token), address ?? new FrameMemory());
address?.onReturn((fragment) => void explorer.goTo(fragment));
mount(App, { target: document.getElementById("app")!, props: { explorer } });
if (file || token) void explorer.start(location.hash);
else explorer.problem = "This address lacks its token. Open the whole address that `normlens view` printed, with what follows the #.";
