package caddymodule

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// requestPage is one page of the newest requests, newest first.
type requestPage struct {
	Requests []loggedRequest `json:"requests"`
	Next     string          `json:"next,omitempty"` // cursor of the next page; absent at the end
}

// Requests lists the newest requests that arrived, accepted or not. Of a batch, each event is one.
func (g *gateway) Requests(source, reason string, results []string, cursor string, limit int) (requestPage, error) {
	var before uint64
	if cursor != "" {
		var err error
		if before, err = strconv.ParseUint(cursor, 36, 64); err != nil || before == 0 {
			return requestPage{}, fmt.Errorf("%w: cursor %q is not one of this list", errBadQuery, truncate(cursor, 40))
		}
	}
	requests, more := g.rt.rollup.log.newest(before, limit, func(e *loggedRequest) bool {
		return (source == "" || e.Source == source) && (reason == "" || e.Reason == reason) && (len(results) == 0 || slices.Contains(results, e.Result))
	})
	page := requestPage{Requests: append([]loggedRequest{}, requests...)}
	for i := range page.Requests { // the source may have begun to mask them since
		r := &page.Requests[i]
		d := g.app.derived(r.Source, r.Provider)
		r.EventID, r.Type = hideIf(d.id, r.EventID), hideIf(d.kind, r.Type)
	}
	if more {
		page.Next = strconv.FormatUint(requests[len(requests)-1].Seq, 36)
	}
	return page, nil
}

func getRequests(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	source, reason, results, cursor, limit := p.text("source"), p.oneOf("reason", requestReasons), p.manyOf("result", requestResults), p.text("cursor"), p.limit()
	if err := p.done(); err != nil {
		return err
	}
	page, err := g.Requests(source, reason, results, cursor, limit)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, page)
}
