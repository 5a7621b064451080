// A page that was opened as a file, not from a server: browsers load no modules then. No module itself, so it runs.

if (location.protocol === "file:") {
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelector("#notice h2").textContent = "This page needs a web server";
    document.querySelector("#notice p").textContent =
      "Browsers run it from no file. In its folder: python3 -m http.server --bind 127.0.0.1, " +
      "then open http://127.0.0.1:8000.";
    document.getElementById("connection").textContent = "Opened as a file";
  });
}
