package dashboard

import "html/template"

// requestResults are what can become of a request.
var requestResults = []string{"accepted", "duplicate", "refused", "handshake", "error"}

// refusalReasons are the reasons to filter by: those of refusals, and those of answers with 503.
var refusalReasons = []string{
	"unsigned", "mismatch", "stale", "malformed", "unreadable", "too_large", "slow", "truncated", "method",
	"keys_unavailable", "store_full", "store_closed", "store_failed", "deadline", "store",
}

// requests lists the newest requests, accepted or not.
func (x *exchange) requests() error {
	form, err := x.filterForm()
	if err != nil {
		return err
	}
	data := &requestsData{Filter: form, Results: requestResults, Reasons: refusalReasons}
	status, err := x.list("requests", form, &data.Page)
	if err != nil {
		return err
	}
	page := &Page{Title: "Requests", Nav: "requests", Data: data}
	if form.Get("cursor") == "" && form.Refused == "" {
		page.Live = "kind=request"
	}
	return x.render("requests", status, page)
}

type requestsData struct {
	Filter  *filterForm
	Results []string
	Reasons []string
	Page    RequestPage
}

// Next is the query of the next page.
func (d *requestsData) Next() template.URL { return d.Filter.With("cursor", d.Page.Next) }
