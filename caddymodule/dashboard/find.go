package dashboard

import (
	"net/http"
	"net/url"
	"strings"
)

// find leads to what an id names: a refused request, a replay, or an event by the gateway's or the provider's id.
func (x *exchange) find() error {
	id := strings.TrimSpace(x.r.URL.Query().Get("id"))
	path := "/events/"
	switch {
	case id == "":
		path = "/events"
	case strings.Contains(id, "/"): // cannot stand in a path
		return x.redirect("/"+link("events", "id", id), "")
	case strings.HasPrefix(id, "rq_"):
		path = "/quarantine/"
	case strings.HasPrefix(id, "rp_"):
		path = "/replays/"
	}
	http.Redirect(x.w, x.r, x.visit.Base+path+url.PathEscape(id), http.StatusSeeOther)
	return nil
}
