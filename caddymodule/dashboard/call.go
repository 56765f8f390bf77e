package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// Problem is a refusal: the API's own (RFC 9457), or the dashboard's.
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// call makes a call of the API and decodes its answer into out, unless that is nil.
func (x *exchange) call(method, path string, query url.Values, body, out any) error {
	answer, err := x.raw(method, path, query, body)
	if err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Body, out); err != nil {
		return fmt.Errorf("answer to %s %s: %w", method, path, err)
	}
	return nil
}

// get reads something from the API.
func (x *exchange) get(path string, query url.Values, out any) error {
	return x.call(http.MethodGet, path, query, nil, out)
}

// raw makes a call of the API and returns its answer if it is no refusal.
func (x *exchange) raw(method, path string, query url.Values, body any) (Answer, error) {
	return x.ask(Call{Method: method, Path: path, Query: query, Body: body})
}

// ask makes a call in the visitor's name.
func (x *exchange) ask(c Call) (Answer, error) {
	c.User = x.visit.User
	answer, err := x.backend.Call(x.r.Context(), c)
	if err != nil {
		return Answer{}, err
	}
	if answer.Status < 300 {
		return answer, nil
	}
	problem := new(Problem)
	if err := json.Unmarshal(answer.Body, problem); err != nil {
		return Answer{}, fmt.Errorf("answer %d to %s %s: %w", answer.Status, c.Method, c.Path, err)
	}
	problem.Status = answer.Status
	return Answer{}, problem
}

// fail answers with a page that says what went wrong and what to do about it.
func (x *exchange) fail(err error) {
	problem := new(Problem)
	if !errors.As(err, &problem) {
		problem = &Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: err.Error()}
	}
	if isTooLarge(err) {
		problem = &Problem{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Detail: "The form is larger than this page takes. Nothing was changed."}
	}
	problem.Title = http.StatusText(problem.Status)
	page := &Page{Title: problem.Title, Data: &failure{Problem: *problem, Advice: adviceFor(problem.Code)}}
	if err := x.render("problem", problem.Status, page); err != nil {
		http.Error(x.w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
	}
}

// isTooLarge reports whether a form went over its bound.
func isTooLarge(err error) bool {
	var tooLarge *http.MaxBytesError
	return errors.As(err, &tooLarge)
}

// failure is what the page of a problem shows.
type failure struct {
	Problem
	Advice []string
}

// advice says what to do about a problem, by its code.
var advice = map[string][]string{
	"no_page": {
		"Begin at the overview.",
		"If the dashboard stands below a path of your site, use handle_path, or tell it the path: webhooks_dashboard /dashboard/*",
	},
	"no_webhooks":         {"The configuration that runs now has no webhook handler. Add one, and reload Caddy."},
	"not_active":          {"Wait a moment. The store may be waiting for another process that has it open."},
	"bad_request":         {"Change the filter, or go back and correct the form."},
	"too_large":           {"A large payload can be edited where it is not sent by a form: caddy webhooks replay <id> --edit, or --body <file>"},
	"not_found":           {"It may have been pruned: see retain in the global options.", "An id that the provider gave it can be searched for under Events."},
	"unknown_destination": {"No destination of that name is configured or has deliveries. See Destinations."},
	"no_replay":           {"Only the last 50 jobs are remembered."},
	"too_many_replays":    {"Wait until one of the jobs under way has ended, or cancel one. See Replays."},
	"no_source":           {"No source of that name is configured or has events. See the overview."},
	"cannot_try":          {"The provider's own pages usually have a button that sends a test event.", "Choose another type of event, or another source."},
	"not_releasable":      {"Correct the source's configuration as the diagnosis says, reload Caddy, and release it then."},
	"hidden":              {"The source's configuration says redact or mask. Change it there if you must see this."},
	"search_limit":        {"Narrow the search down: give a source, or two times."},
	"timeout":             {"Narrow the filter down: give a source, a destination or a time. If pages without a filter are slow as well, look at the disk."},
	"store_closed":        {"Caddy is about to stop or to reload. Try again in a moment."},
	"store_failed":        {"The disk has refused to write, or what was read is damaged. Nothing that was acknowledged is lost; see Caddy's log for the cause."},
	"store_full":          {"Free space on the disk of the store, or raise max_size. The gateway goes on by itself."},
	"damaged":             {"This record does not match its checksum and cannot be shown. Others are not affected; see Caddy's log."},
	"csrf": {
		"The page was older than the server, or you have signed in as somebody else since. Go back, reload the page, and do it again.",
	},
	"origin":         {"Changes are taken from the dashboard's own pages only. If a proxy in front changes the Host header, let it pass the original one."},
	"not_loopback":   {"Give the site a host name of its own, protect the route (basic_auth, forward_auth, client certificates), or set unprotected_ok."},
	"too_many_tails": {"Close other windows that look on; this page goes on without live updates."},
}

func adviceFor(code string) []string {
	if texts, ok := advice[code]; ok {
		return texts
	}
	return []string{"Try again. If it happens again, Caddy's log has more."}
}
