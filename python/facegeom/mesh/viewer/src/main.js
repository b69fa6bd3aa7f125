// Displays the GLB file that is embedded in the page and connects the panel to it.
import { MeshoptDecoder } from "three/addons/libs/meshopt_decoder.module.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { Head } from "./head.js";
import { connectPanel } from "./panel.js";
import { Stage } from "./stage.js";

function embeddedModel() {
  const text = atob(document.getElementById("model").textContent.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes.buffer;
}

async function start() {
  const page = document.documentElement;
  try {
    const stage = new Stage(document.getElementById("view"));
    const { scene } = await new GLTFLoader().setMeshoptDecoder(MeshoptDecoder).parseAsync(embeddedModel(), "");
    const head = new Head(scene);
    stage.show(head.object);
    connectPanel(head, stage);
    stage.draw();
    head.release();
    page.dataset.state = "ready";
  } catch (error) {
    page.dataset.state = "failed";
    document.getElementById("message").textContent = `The model cannot be shown: ${error.message}`;
  }
}

start();
