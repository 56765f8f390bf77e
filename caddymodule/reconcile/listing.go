// Package reconcile lists the events that a provider's API says it has sent, so that those which never arrived can be found and fetched. Like the rest of what is known of
// providers, a listing is data: where the list is, how its pages follow each other, and where in an item the event is.
package reconcile

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Listing says how a provider's API lists past events. Paths are gjson paths within an item of the list, or within a page where said.
type Listing struct {
	// Address of the first page. `{since}` and `{until}` stand for the ends of the time range.
	URL string `json:"url"`
	// How times are written in the address: `unix` (seconds, the default), `unix_ms` or `rfc3339`.
	TimeFormat string `json:"time_format,omitempty"`
	// Headers of the calls, such as Authorization; the values are secret.
	Header map[string]string `json:"header,omitempty"`

	// The array of items within a page; `@this` (the default) if the page is the array.
	Items string `json:"items,omitempty"`
	// Id of the item's event, as its webhook has it. Several paths are joined with `-`.
	ID []string `json:"id"`
	// Type and time of the item's event.
	Type string `json:"type,omitempty"`
	Time string `json:"time,omitempty"`
	// Types of the events that the webhook is subscribed to, if the list has others too; `*` at the end of one stands for any rest. Default: all.
	Types []string `json:"types,omitempty"`

	// Address from which all of an event comes, with `{path}` for what an item has at a path. Default: the item is all.
	Detail string `json:"detail,omitempty"`
	// The webhook's body and headers (an object) within the item, or the detail. Default: all of it, and none.
	Payload string `json:"payload,omitempty"`
	Headers string `json:"headers,omitempty"`
	// Headers to be made, with `{path}` for what the item has at a path.
	Make map[string]string `json:"make,omitempty"`

	// How pages follow each other.
	Next Next `json:"next"`
}

// Next says how to get from a page to the next one.
type Next struct {
	// `link` (a Link header with rel="next"), `url` (an address within the page), `cursor` (a value within the page, for a parameter), `last` (a value of the last item, for
	// a parameter), `page` (a number that is counted up, for a parameter) or `none`.
	By string `json:"by"`
	// Path of the address, the cursor or the value.
	Path string `json:"path,omitempty"`
	// Name of the parameter.
	Param string `json:"param,omitempty"`
	// A path within a page that is true if there is another one. Default: there is one unless the page is empty or has no address or cursor.
	More string `json:"more,omitempty"`
}

// Item is an event that a provider lists.
type Item struct {
	ID   string
	Type string
	At   time.Time // zero if the list does not say

	raw string // the item's JSON
}

// Event is what the webhook of an item would have brought.
type Event struct {
	Header http.Header
	Body   []byte
}

var timeFormats = []string{"unix", "unix_ms", "rfc3339"}

// Validate reports what is wrong with a listing.
func (l *Listing) Validate() error {
	u, err := url.Parse(l.expand(time.Time{}, time.Time{}))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("url %q: want an address such as https://api.example.com/events?since={since}", l.URL)
	case u.User != nil:
		return errors.New("url has a user in it: send credentials in a header")
	case len(l.ID) == 0 || slices.Contains(l.ID, ""):
		return errors.New("want the path of the events' id")
	case len(l.Types) > 0 && l.Type == "":
		return errors.New("types: want the path of the events' type, too")
	case l.TimeFormat != "" && !slices.Contains(timeFormats, l.TimeFormat):
		return fmt.Errorf("times %q: want one of %s", l.TimeFormat, strings.Join(timeFormats, ", "))
	}
	needs, ok := map[string]struct{ path, param bool }{
		"link": {}, "none": {}, "url": {path: true}, "cursor": {true, true}, "last": {true, true}, "page": {param: true},
	}[l.Next.By]
	switch {
	case !ok:
		return fmt.Errorf("next %q: want link, url <path>, cursor <path> <parameter>, last <path> <parameter>, page <parameter> or none", l.Next.By)
	case needs.path != (l.Next.Path != ""), needs.param != (l.Next.Param != ""):
		return fmt.Errorf("next %s: want link, url <path>, cursor <path> <parameter>, last <path> <parameter>, page <parameter> or none", l.Next.By)
	}
	return nil
}

// expand is the address of the first page.
func (l *Listing) expand(since, until time.Time) string {
	return strings.NewReplacer("{since}", url.QueryEscape(l.formatTime(since)), "{until}", url.QueryEscape(l.formatTime(until))).Replace(l.URL)
}

func (l *Listing) formatTime(t time.Time) string {
	switch l.TimeFormat {
	case "unix_ms":
		return fmt.Sprint(t.UnixMilli())
	case "rfc3339":
		return t.UTC().Format(time.RFC3339)
	}
	return fmt.Sprint(t.Unix())
}

// wants tells whether a webhook with the listing's types would bring an event.
func (l *Listing) wants(eventType string) bool {
	return len(l.Types) == 0 || slices.ContainsFunc(l.Types, func(want string) bool {
		prefix, open := strings.CutSuffix(want, "*")
		return eventType == want || open && strings.HasPrefix(eventType, prefix)
	})
}
