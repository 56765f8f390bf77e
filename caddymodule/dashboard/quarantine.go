package dashboard

import (
	"cmp"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
)

// quarantine lists requests that did not verify, with what the diagnosis found.
func (x *exchange) quarantine() error {
	form, err := x.filterForm()
	if err != nil {
		return err
	}
	data := &quarantineData{Filter: form, Reasons: refusalReasons[:5]}
	status, err := x.list("quarantine", form, &data.Page)
	if err != nil {
		return err
	}
	page := &Page{Title: "Quarantine", Nav: "quarantine", Data: data}
	if form.Get("cursor") == "" && form.Refused == "" {
		page.Live = "kind=request&result=refused"
	}
	return x.render("quarantine", status, page)
}

type quarantineData struct {
	Filter  *filterForm
	Reasons []string
	Page    RefusedPage
}

// Next is the query of the next page.
func (d *quarantineData) Next() template.URL { return d.Filter.With("cursor", d.Page.Next) }

// refused shows one refused request.
func (x *exchange) refused() error {
	id := x.r.PathValue("id")
	data := new(refusedData)
	if err := x.get("quarantine/"+url.PathEscape(id), nil, &data.Request); err != nil {
		return err
	}
	if !data.Request.NoBody {
		var err error
		if data.Pane, err = x.payloadPane("quarantine/"+url.PathEscape(id)+"/payload", nil); err != nil {
			return err
		}
	}
	data.Release = x.releasable(id)
	return x.render("refused", http.StatusOK, &Page{Title: "Refused request " + id, Nav: "quarantine", Data: data})
}

// releasable says what keeps a request from being released now; empty if nothing does.
func (x *exchange) releasable(id string) string {
	err := x.call(http.MethodPost, "quarantine/"+url.PathEscape(id)+"/release", url.Values{"dry_run": {"true"}}, nil, nil)
	var problem *Problem
	if errors.As(err, &problem) {
		return cmp.Or(problem.Detail, problem.Code)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

type refusedData struct {
	Request RefusedDetail
	Pane    *pane
	Release string // why it cannot be released; empty if it can
}

// HeaderNames are the names of the headers in order.
func (d *refusedData) HeaderNames() []string { return headerNames(d.Request.Header) }

func headerNames(header map[string][]string) []string {
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// refusedPayload sends a refused request's payload as a download.
func (x *exchange) refusedPayload() error {
	id := x.r.PathValue("id")
	answer, err := x.raw(http.MethodGet, "quarantine/"+url.PathEscape(id)+"/payload", nil, nil)
	if err != nil {
		return err
	}
	return x.download(answer, fileName(id))
}

// release verifies a refused request again and accepts it.
func (x *exchange) release() error {
	id := x.r.PathValue("id")
	var released struct {
		Events     []string `json:"events"`
		Duplicates int      `json:"duplicates"`
	}
	if err := x.call(http.MethodPost, "quarantine/"+url.PathEscape(id)+"/release", nil, nil, &released); err != nil {
		return err
	}
	message := "Released: it verified, and it is an event now."
	if released.Duplicates > 0 {
		message = "Released: it verified. The event had been accepted before."
	}
	if len(released.Events) == 1 {
		return x.redirect("/events/"+url.PathEscape(released.Events[0]), message)
	}
	return x.redirect("/quarantine", message)
}

// discard removes a refused request from the quarantine.
func (x *exchange) discard() error {
	id := x.r.PathValue("id")
	if err := x.call(http.MethodPost, "quarantine/"+url.PathEscape(id)+"/discard", nil, nil, nil); err != nil {
		return err
	}
	return x.redirect("/quarantine", "Dropped.")
}
