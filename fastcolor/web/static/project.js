// What was said of a picture or film, as the files that the commands take: --hints and --project.

const VERSION = 1;

/** Save it under the item's name. */
export function saveProject(item, look) {
  const film = item.kind === "film";
  const content = film ? { version: VERSION, film: item.name, shots: look.shots } : { version: VERSION, hints: look.hints };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
  link.download = `${item.name.replace(/\.[^.]*$/, "")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** The part of a look that a file says. Throws an Error with a sentence for anything else. */
export async function readProject(file, item) {
  let content;
  try {
    content = JSON.parse(await file.text());
  } catch {
    throw new Error(`${file.name}: is no JSON`);
  }
  const wanted = item.kind === "film" ? "shots" : "hints";
  if (content?.version !== VERSION || !Array.isArray(content[wanted])) {
    throw new Error(`${file.name}: must be a project of version ${VERSION} with ${wanted}`);
  }
  if (wanted === "hints") return { hints: content.hints };
  const told = content.shots.some((shot) => shot.hints?.length || shot.references?.length || Object.keys(shot.key_frames ?? {}).length);
  if (told) throw new Error(`${file.name}: holds hints, references or key frames of shots, which fastcolor-video --project takes and this page does not`);
  return { shots: content.shots.map(({ start, end, saturation = 1, temperature = null }) => ({ start, end, saturation, temperature })) };
}
