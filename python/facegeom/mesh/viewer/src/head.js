// The model as the page changes it: blendshape weights, wireframe, and what the photo showed.
import { Color, Mesh, MeshBasicMaterial } from "three";

const SEEN = new Color("#2f8fd0"); // as the legend in style.css
const INFERRED = new Color("#e8853a");
const OVERLAY = 0.6; // how much of a texel's colour the overlay replaces
const WIRES = new Color("#2fd3c4"); // far from any skin, light or dark, and from the overlay

export class Head {
  constructor(object) {
    this.object = object;
    this.meshes = [];
    object.traverse((node) => node.isMesh && this.meshes.push(node));
    if (!this.meshes.length) throw new Error("it holds no mesh");
    this.initial = new Map(); // blendshape name -> weight in the file
    for (const { morphTargetDictionary, morphTargetInfluences } of this.meshes) {
      for (const [name, index] of Object.entries(morphTargetDictionary ?? {})) {
        this.initial.set(name, morphTargetInfluences[index]);
      }
    }
    this.hasSeen = this.meshes.every(({ geometry }) => geometry.attributes._seen);
    this.overlay = { value: 0 };
    this.wires = this.meshes.map(wire);
    for (const mesh of this.meshes) {
      mesh.frustumCulled = false; // there is nothing else on the stage
      // The wires lie on the surface: it steps back a little, so that they are not half hidden in it.
      Object.assign(mesh.material, { polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1 });
      if (this.hasSeen) mixSeen(mesh.material, this.overlay);
    }
  }

  setWeights(changes) {
    for (const [name, weight] of changes) {
      for (const { morphTargetDictionary, morphTargetInfluences } of this.meshes) {
        const index = morphTargetDictionary?.[name];
        if (index !== undefined) morphTargetInfluences[index] = weight;
      }
    }
  }

  showWires(on) {
    for (const wire of this.wires) wire.visible = on;
  }

  showSeen(on) {
    this.overlay.value = on ? OVERLAY : 0;
  }
}

// The edges of a mesh, on top of it; they share its shape and its weights.
function wire(mesh) {
  const material = new MeshBasicMaterial({ color: WIRES, wireframe: true, transparent: true, opacity: 0.2 });
  const edges = new Mesh(mesh.geometry, material);
  edges.morphTargetInfluences = mesh.morphTargetInfluences;
  edges.visible = false;
  edges.frustumCulled = false;
  mesh.add(edges);
  return edges;
}

// Makes a material mix in the colours of seen and inferred by the vertex attribute `_SEEN`, as far as `overlay` says.
function mixSeen(material, overlay) {
  material.onBeforeCompile = (shader) => {
    Object.assign(shader.uniforms, { overlay, seenColor: { value: SEEN }, inferredColor: { value: INFERRED } });
    shader.vertexShader = shader.vertexShader
      .replace("#include <common>", "#include <common>\nattribute float _seen;\nvarying float seenShare;")
      .replace("#include <begin_vertex>", "#include <begin_vertex>\nseenShare = _seen;");
    shader.fragmentShader = shader.fragmentShader
      .replace(
        "#include <common>",
        `#include <common>
        uniform float overlay;
        uniform vec3 seenColor;
        uniform vec3 inferredColor;
        varying float seenShare;`,
      )
      .replace(
        "#include <color_fragment>",
        `#include <color_fragment>
        diffuseColor.rgb = mix(diffuseColor.rgb, mix(inferredColor, seenColor, seenShare), overlay);`,
      );
  };
}
