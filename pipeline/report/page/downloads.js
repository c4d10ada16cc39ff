// What can be taken away: the joints and the image of a frame, the angles of the clip, the notes.
"use strict";

(() => {
  const app = (window.skelact ??= {});

  // RFC 4180.
  const cell = (value) => {
    const text = typeof value === "number" && Number.isNaN(value) ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = (rows) => rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
  // Shortest text that is the same float32.
  const short = (value) => {
    if (Number.isNaN(value)) return value;
    for (let digits = 6; digits < 9; digits += 1) {
      const rounded = Number(value.toPrecision(digits));
      if (Math.fround(rounded) === value) return rounded;
    }
    return value;
  };

  const baseName = (report) => {
    const name = report.index.name.split("/").pop().replace(/[^A-Za-z0-9._-]+/g, "-");
    return name.replace(/^[.-]+/, "") || "clip";
  };

  // The columns are those of the tables that skelact writes.
  const keys = (report, person, frame) => [report.index.name, person, report.frameInds[frame], report.seconds[frame]];

  app.frameCsv = async (report, frame) => {
    await report.load(Math.floor(frame / report.index.chunk_frames));
    const rows = [["clip", "person", "frame", "seconds", "joint", "x", "y", "score"]];
    for (let person = 0; person < report.numPeople; person += 1) {
      const pose = report.pose(person, frame);
      report.index.keypoint_names.forEach((name, joint) => {
        const { x, y, score } = pose(joint);
        const place = score > 0 ? [short(x), short(y)] : [NaN, NaN];
        rows.push([...keys(report, person, frame), name, ...place, short(score)]);
      });
    }
    app.download(`${baseName(report)}-frame-${report.frameInds[frame]}.csv`, csv(rows), "text/csv");
  };

  app.anglesCsv = async (report) => {
    await report.loadAll();
    const rows = [["clip", "person", "frame", "seconds", "angle", "degrees"]];
    for (let person = 0; person < report.numPeople; person += 1) {
      for (let frame = 0; frame < report.numFrames; frame += 1) {
        report.index.curves.forEach(({ key }, kind) => {
          rows.push([...keys(report, person, frame), key, short(report.curve(person, frame, kind))]);
        });
      }
    }
    app.download(`${baseName(report)}-angles.csv`, csv(rows), "text/csv");
  };

  // The video's frame with its skeletons. Throws a SecurityError where the page may not read it.
  app.framePng = async (player) => {
    const { report, video } = player;
    await player.arrived();
    const canvas = app.element("canvas", { width: video.videoWidth, height: video.videoHeight });
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    if (player.showsSkeletons) {
      await report.load(Math.floor(player.frame / report.index.chunk_frames));
      player.drawPeople(context, canvas.width);
    }
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    app.download(`${baseName(report)}-frame-${report.frameInds[player.frame]}.png`, blob, "image/png");
  };

  app.notesJson = (report, notes) => {
    const values = { video: report.index.name, notes };
    app.download(`${baseName(report)}-notes.json`, `${JSON.stringify(values, null, 1)}\n`, "application/json");
  };
})();
