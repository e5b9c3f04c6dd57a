// A link may bring the token behind its #, which browsers do not send: it goes into the form.
function take() {
  const given = decodeURIComponent(location.hash.slice(1));
  if (!given) return;
  history.replaceState(null, "", location.pathname);
  document.getElementById("token").value = given;
  document.querySelector("form").submit();
}

document.getElementById("wrong").hidden = location.search !== "?wrong";
window.addEventListener("hashchange", take);
take();
