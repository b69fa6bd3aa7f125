// The displayed model: sets its blendshape weights and shows the wireframe and the overlay of seen and inferred parts.
import { BufferAttribute, Color, Mesh, MeshBasicMaterial } from "three";

const SEEN = new Color("#2f8fd0"); // the colours of the legend in style.css
const INFERRED = new Color("#e8853a");
const OVERLAY = 0.6; // opacity of the overlay
const WIRES = new Color("#2fd3c4"); // differs clearly from all skin colours and from the overlay

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
      mesh.frustumCulled = false; // the model is the only object in the scene
      // The offset moves the surface behind the wireframe, which has the same depth and would be partly hidden.
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

  // Frees the blendshapes in the memory of the page once they are in the memory of the graphics card.
  release() {
    const nothing = new BufferAttribute(new Float32Array(0), 3);
    for (const { geometry } of this.meshes) {
      for (const [name, shapes] of Object.entries(geometry.morphAttributes)) {
        geometry.morphAttributes[name] = shapes.map(() => nothing);
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

// Returns the wireframe of a mesh; it shares the geometry and the blendshape weights of the mesh.
function wire(mesh) {
  const material = new MeshBasicMaterial({ color: WIRES, wireframe: true, transparent: true, opacity: 0.2 });
  const edges = new Mesh(mesh.geometry, material);
  edges.morphTargetInfluences = mesh.morphTargetInfluences;
  edges.visible = false;
  edges.frustumCulled = false;
  mesh.add(edges);
  return edges;
}

// Extends a material: blends in the colour of seen or inferred (vertex attribute `_SEEN`) with the opacity `overlay`.
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
