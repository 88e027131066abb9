// Sentiloc in Premiere Pro: puts the segments of a result on the active sequence as markers.
// Untested: written after Premiere's published ExtendScript interface. Run it from an ExtendScript debugger or a panel.
// It asks for the CSV that `sentiloc localize VIDEO --format csv -o VIDEO.csv` writes; the clip must begin the sequence.
(function () {
  var POSITIVE = 3, NEGATIVE = 1; // Premiere's colour numbers of markers
  var file = File.openDialog("The CSV that Sentiloc wrote", "*.csv");
  if (!file || !app.project.activeSequence || !file.open("r")) return;
  var markers = app.project.activeSequence.markers;
  var names = file.readln().split(",");
  function column(row, name) {
    for (var i = 0; i < names.length; i += 1) if (names[i] === name) return row[i];
    return "";
  }
  while (!file.eof) {
    var row = file.readln().split(",");
    if (row.length < names.length) continue;
    var label = column(row, "label"), sure = column(row, "confidence");
    var marker = markers.createMarker(Number(column(row, "start")));
    marker.end = Number(column(row, "end"));
    marker.name = label + (sure === "" ? " by hand" : " " + Math.min(99, Math.round(100 * Number(sure))) + "%");
    marker.setColorByIndex(label === "positive" ? POSITIVE : NEGATIVE);
  }
  file.close();
})();
