"use strict";
document.querySelectorAll("table.sortable").forEach((table) => {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    const sort = () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = Array.from(body.rows).map((row) => [row.cells[column].textContent.trim(), row]);
      const number = (text) => (text === "" || text === "–" ? null : Number(text.replace("−", "-")));
      const plain = rows.every(([text]) => number(text) === null || !Number.isNaN(number(text)));
      rows.sort(([a], [b]) => {
        const x = plain ? number(a) : a, y = plain ? number(b) : b;
        if (x === null || y === null) return (x === null) - (y === null);
        const order = plain ? x - y : x.localeCompare(y, undefined, { numeric: true });
        return up ? order : -order;
      });
      body.append(...rows.map(([, row]) => row));
    };
    head.tabIndex = 0;
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
    });
  });
});
