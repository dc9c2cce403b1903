// A line and a box follow the pointer over a chart. Without this script the folded tables hold the same numbers.
document.querySelectorAll("figure").forEach(function (figure) {
  var source = figure.querySelector("script[type='application/json']");
  if (!source) return;
  var hover = JSON.parse(source.textContent);
  figure.querySelectorAll(".plot").forEach(function (plot) {
    var left = Number(plot.dataset.left), width = Number(plot.dataset.width);
    var cover = document.createElement("div"), cross = document.createElement("div"), tip = document.createElement("div");
    cover.style.cssText = "position:absolute;inset:0"; // above the drawing, whose title would show as a box of its own
    cross.className = "cross"; tip.className = "tip"; tip.setAttribute("aria-hidden", "true");
    plot.append(cover, cross, tip);
    function hide() { cross.style.display = tip.style.display = "none"; }
    cover.addEventListener("pointerleave", hide);
    cover.addEventListener("pointermove", function (event) {
      var box = plot.getBoundingClientRect();
      var at = ((event.clientX - box.left) / box.width - left) / width;
      if (Math.abs(at - 0.5) > 0.53) return hide();
      var best = 0;
      hover.at.forEach(function (x, i) { if (Math.abs(hover.at[best] - at) > Math.abs(x - at)) best = i; });
      var x = (left + hover.at[best] * width) * box.width;
      tip.textContent = "";
      var head = document.createElement("b");
      head.textContent = hover.heads[best];
      tip.append(head);
      hover.values[best].forEach(function (value, i) {
        var row = document.createElement("span"), name = document.createElement("span"), figure = document.createElement("span");
        name.textContent = hover.names[i]; figure.textContent = value;
        row.append(name, figure); tip.append(row);
      });
      cross.style.display = tip.style.display = "block";
      cross.style.left = x + "px";
      var room = box.width - tip.offsetWidth;
      tip.style.left = Math.max(0, Math.min(room, x > room - 12 ? x - tip.offsetWidth - 12 : x + 12)) + "px";
    });
  });
});
