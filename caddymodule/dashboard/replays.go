package dashboard

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	planTime    = 120 * time.Millisecond // for which a plan counts
	defaultRate = 100.0                  // deliveries per second, as the gateway's
)

// replays lists the replay jobs.
func (x *exchange) replays() error {
	var data struct {
		Replays []Replay `json:"replays"`
	}
	if err := x.get("replays", nil, &data); err != nil {
		return err
	}
	page := &Page{Title: "Replays", Nav: "replays", Live: "kind=attempt", Data: &data}
	page.Poll = slices.ContainsFunc(data.Replays, func(r Replay) bool { return r.State == "running" })
	return x.render("replays", http.StatusOK, page)
}

// replay shows one job and how far it is.
func (x *exchange) replay() error {
	data := new(Replay)
	if err := x.get("replays/"+url.PathEscape(x.r.PathValue("id")), nil, data); err != nil {
		return err
	}
	page := &Page{Title: "Replay " + data.ID, Nav: "replays", Data: data}
	if data.State == "running" {
		page.Live, page.Poll = "kind=attempt", true
	}
	return x.render("replay", http.StatusOK, page)
}

// Progress is the share of the estimate that is done, of 0 to 1.
func (r *Replay) Progress() float64 {
	if r.State == "done" {
		return 1
	}
	if r.Estimate.Deliveries == 0 {
		return 0
	}
	return min(1, float64(r.Replayed)/float64(r.Estimate.Deliveries))
}

// Percent is Progress for the attribute of an element.
func (r *Replay) Percent() int { return int(r.Progress() * 100) }

// Rate is how many deliveries are put back in a second.
func (r *Replay) Rate() float64 {
	if r.Request.Rate > 0 {
		return r.Request.Rate
	}
	return defaultRate
}

// LeftSeconds is how long the rest takes.
func (r *Replay) LeftSeconds() float64 {
	return float64(max(0, r.Estimate.Deliveries-r.Replayed)) / r.Rate()
}

// planReplay shows what a replay by a filter would do, before anything is done.
func (x *exchange) planReplay() error {
	form, err := x.filterForm()
	if err != nil {
		return err
	}
	data := &planData{Filter: form, States: deliveryStates, Errors: errorClasses}
	status, err := form.refused(x.plan(data))
	if err != nil {
		return err
	}
	if form.Refused != "" {
		data.Plan = nil
	}
	return x.render("plan", status, &Page{Title: "Send events again", Nav: "replays", Data: data})
}

// replayOptions are the parameters of a plan that are no filter.
var replayOptions = []string{"to", "move", "rate", "all"}

// plan counts what a replay would put back, for as long as a page may take.
func (x *exchange) plan(data *planData) error {
	order, query, err := x.replayOrder(data.Filter.Values)
	if err != nil {
		return err
	}
	if len(query) == 0 && !order.All {
		return nil // nothing is chosen yet
	}
	order.DryRun = true
	ctx, cancel := context.WithTimeout(x.r.Context(), planTime)
	defer cancel()
	bounded := *x
	bounded.r = x.r.WithContext(ctx)
	data.Plan = &Replay{Request: order}
	err = bounded.call(http.MethodPost, "replay", query, order, data.Plan)
	var problem *Problem
	if errors.As(err, &problem) && problem.Code == "timeout" { // too much to find even one in that time
		return nil
	}
	return err
}

// replayOrder reads a plan's parameters: the order, and the query that holds its filter.
func (x *exchange) replayOrder(values url.Values) (ReplayOrder, url.Values, error) {
	order := ReplayOrder{To: values.Get("to"), Move: values.Get("move") != "", All: values.Get("all") != ""}
	if text := values.Get("rate"); text != "" {
		rate, err := strconv.ParseFloat(text, 64)
		if err != nil || rate <= 0 {
			return order, nil, &Problem{Status: http.StatusBadRequest, Code: "bad_request", Detail: "The rate must be a number of deliveries in a second, such as 50."}
		}
		order.Rate = rate
	}
	query := url.Values{}
	for name, list := range values {
		if name != "csrf" && name != "cursor" && name != "limit" && !slices.Contains(replayOptions, name) {
			query[name] = list
		}
	}
	return order, query, nil
}

type planData struct {
	Filter *filterForm
	States []string
	Errors []string
	Plan   *Replay // nil before anything is chosen
}

// Seconds is how long the replay would take.
func (d *planData) Seconds() float64 { return d.Plan.LeftSeconds() }

// Pairs are the fields that start what was planned. Times that were given as how long ago are fixed, so that what is started is what was planned.
func (d *planData) Pairs() [][2]string {
	var pairs [][2]string
	for name, values := range d.Filter.Values {
		for _, value := range values {
			if f := d.Plan.Request.Filter; f != nil {
				switch {
				case name == "since" && !f.Since.IsZero():
					value = f.Since.Format(time.RFC3339Nano)
				case name == "until" && !f.Until.IsZero():
					value = f.Until.Format(time.RFC3339Nano)
				}
			}
			pairs = append(pairs, [2]string{name, value})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
	return pairs
}

// startReplay starts what was planned.
func (x *exchange) startReplay() error {
	order, query, err := x.replayOrder(cleanQuery(x.r.PostForm))
	if err != nil {
		return err
	}
	var job Replay
	if err := x.call(http.MethodPost, "replay", query, order, &job); err != nil {
		return err
	}
	return x.redirect("/replays/"+url.PathEscape(job.ID), "Started.")
}

// cancelReplay stops a job.
func (x *exchange) cancelReplay() error {
	id := x.r.PathValue("id")
	if err := x.call(http.MethodPost, "replays/"+url.PathEscape(id)+"/cancel", nil, nil, nil); err != nil {
		return err
	}
	return x.redirect("/replays/"+url.PathEscape(id), "Cancelled. What had been put back stays.")
}
