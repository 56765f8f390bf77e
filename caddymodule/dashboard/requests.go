package dashboard

import (
	"html/template"
	"net/http"
)

// requestResults are what can become of a request.
var requestResults = []string{"accepted", "duplicate", "refused", "handshake", "error"}

// refusalReasons are the reasons to filter by.
var refusalReasons = []string{
	"unsigned", "mismatch", "stale", "malformed", "unreadable", "check", "too_large", "slow", "truncated", "method", "store_full", "store_closed", "store_failed", "deadline",
}

// requests lists the newest requests, accepted or not.
func (x *exchange) requests() error {
	form, err := x.filterForm()
	if err != nil {
		return err
	}
	data := &requestsData{Filter: form, Results: requestResults, Reasons: refusalReasons}
	if err := x.get("requests", form.Values, &data.Page); err != nil {
		return err
	}
	page := &Page{Title: "Requests", Nav: "requests", Data: data}
	if form.Get("cursor") == "" {
		page.Live = "kind=request"
	}
	return x.render("requests", http.StatusOK, page)
}

type requestsData struct {
	Filter  *filterForm
	Results []string
	Reasons []string
	Page    RequestPage
}

// Next is the query of the next page.
func (d *requestsData) Next() template.URL { return d.Filter.With("cursor", d.Page.Next) }
