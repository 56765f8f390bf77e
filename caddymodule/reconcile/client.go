package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// Bounds of the calls of one listing.
const (
	maxAnswer   = 32 << 20
	callTime    = 30 * time.Second
	maxPages    = 100000
	maxNameless = 200 // bytes of an id that an error shows
)

// Errors that callers decide on.
var (
	// ErrRefused means that the provider's API does not accept the credentials, or that there is nothing at the address.
	ErrRefused = errors.New("provider refuses")
	// ErrLimited means that the calls that the provider allows are used up for longer than a listing waits.
	ErrLimited = errors.New("limit of the provider's API is reached")
	// ErrUnexpected means that an answer is not what the listing says.
	ErrUnexpected = errors.New("answer is not as expected")
)

// Client lists and fetches.
type Client struct {
	Listing *Listing
	HTTP    http.RoundTripper
	Agent   string                                           // User-Agent
	Wait    func(ctx context.Context, d time.Duration) error // returns early with the context's error
}

// List calls fn with the items of each page until the list ends, fn returns an error, or a page has nothing at or after since any more.
func (c *Client) List(ctx context.Context, since, until time.Time, fn func([]Item) error) error {
	l := c.Listing
	address := l.expand(since, until)
	for number := 1; number <= maxPages; number++ {
		body, header, err := c.get(ctx, address)
		if err != nil {
			return fmt.Errorf("page %d: %w", number, err)
		}
		items, older, err := l.items(body, since, until)
		if err != nil {
			return fmt.Errorf("page %d: %w", number, err)
		}
		if err := fn(items); err != nil {
			return err
		}
		next, err := l.next(address, number, body, header)
		if err != nil {
			return fmt.Errorf("page %d: %w", number, err)
		}
		if next == "" || older {
			return nil
		}
		if next == address {
			return fmt.Errorf("page %d: %w: the next page is the same one", number, ErrUnexpected)
		}
		address = next
	}
	return fmt.Errorf("%w: more than %d pages", ErrUnexpected, maxPages)
}

// items reads a page. older says that it ends with an item from before since.
func (l *Listing) items(body []byte, since, until time.Time) (items []Item, older bool, err error) {
	array := gjson.ParseBytes(body)
	if l.Items != "" && l.Items != "@this" {
		array = array.Get(l.Items)
	}
	if !array.IsArray() {
		return nil, false, fmt.Errorf("%w: no list at %q", ErrUnexpected, l.Items)
	}
	for _, raw := range array.Array() {
		item := Item{raw: raw.Raw, At: readTime(raw.Get(l.Time))}
		var ids []string
		for _, path := range l.ID {
			ids = append(ids, scalar(raw.Get(path)))
		}
		if item.ID = strings.Join(ids, "-"); strings.Trim(item.ID, "-") == "" {
			return nil, false, fmt.Errorf("%w: an item has no id at %s", ErrUnexpected, strings.Join(l.ID, ", "))
		}
		if l.Type != "" {
			item.Type = scalar(raw.Get(l.Type))
		}
		older = !item.At.IsZero() && item.At.Before(since)
		if !older && l.wants(item.Type) && (item.At.IsZero() || item.At.Before(until)) {
			items = append(items, item)
		}
	}
	return items, older, nil
}

// scalar is a text or number as it is written.
func scalar(v gjson.Result) string {
	if v.Type == gjson.Number {
		return v.Raw
	}
	return v.String()
}

// readTime reads a time in seconds, milliseconds or RFC 3339; zero if it is none.
func readTime(v gjson.Result) time.Time {
	if v.Type == gjson.Number {
		if n := v.Int(); n > 1e11 {
			return time.UnixMilli(n).UTC()
		}
		return time.UnixMilli(int64(v.Float() * 1000)).UTC()
	}
	t, err := time.Parse(time.RFC3339Nano, v.String())
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

var linkNext = regexp.MustCompile(`<([^>]+)>\s*(?:;[^,]*)?;\s*rel="?next"?`)

// next is the address of the next page; empty at the end.
func (l *Listing) next(address string, number int, body []byte, header http.Header) (string, error) {
	n := &l.Next
	page := gjson.ParseBytes(body)
	if n.More != "" && !page.Get(n.More).Bool() {
		return "", nil
	}
	items := page
	if l.Items != "" && l.Items != "@this" {
		items = page.Get(l.Items)
	}
	all := items.Array()
	switch n.By {
	case "link":
		found := linkNext.FindStringSubmatch(strings.Join(header.Values("Link"), ", "))
		if found == nil {
			return "", nil
		}
		return sameHost(address, found[1])
	case "url":
		text := page.Get(n.Path).String()
		if text == "" {
			return "", nil
		}
		return sameHost(address, text)
	case "cursor":
		return withParam(address, n.Param, scalar(page.Get(n.Path)))
	case "last":
		if len(all) == 0 {
			return "", nil
		}
		return withParam(address, n.Param, scalar(all[len(all)-1].Get(n.Path)))
	case "page":
		if len(all) == 0 {
			return "", nil
		}
		return withParam(address, n.Param, strconv.Itoa(number+1))
	}
	return "", nil
}

// withParam sets a parameter of an address; an empty value is the end.
func withParam(address, name, value string) (string, error) {
	if value == "" {
		return "", nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("%w: address of a page", ErrUnexpected)
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// sameHost resolves the address of the next page. It must be where the first was, because the credentials go with it.
func sameHost(address, next string) (string, error) {
	from, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("%w: address of a page", ErrUnexpected)
	}
	to, err := from.Parse(next)
	if err != nil || to.Scheme != from.Scheme || to.Host != from.Host {
		return "", fmt.Errorf("%w: next page is on another host", ErrUnexpected)
	}
	return to.String(), nil
}

var placeholder = regexp.MustCompile(`\{([^{}]+)\}`)

// fill replaces {path} by what an item has there.
func fill(template string, item string, escape func(string) string) string {
	return placeholder.ReplaceAllStringFunc(template, func(p string) string {
		return escape(scalar(gjson.Get(item, p[1:len(p)-1])))
	})
}

// Fetch gets what the webhook of an item would have brought.
func (c *Client) Fetch(ctx context.Context, item Item) (Event, error) {
	l, raw := c.Listing, item.raw
	if l.Detail != "" {
		body, _, err := c.get(ctx, fill(l.Detail, item.raw, url.PathEscape))
		if err != nil {
			return Event{}, fmt.Errorf("event %s: %w", shorten(item.ID), err)
		}
		raw = string(body)
	}
	e := Event{Header: http.Header{}, Body: []byte(raw)}
	if l.Headers != "" {
		gjson.Get(raw, l.Headers).ForEach(func(name, value gjson.Result) bool {
			e.Header.Set(name.String(), value.String())
			return true
		})
	}
	for name, template := range l.Make {
		e.Header.Set(name, fill(template, item.raw, func(s string) string { return s }))
	}
	if e.Header.Get("Content-Type") == "" {
		e.Header.Set("Content-Type", "application/json")
	}
	if l.Payload == "" {
		return e, nil
	}
	payload := gjson.Get(raw, l.Payload)
	if !payload.Exists() {
		return Event{}, fmt.Errorf("event %s: %w: no payload at %q", shorten(item.ID), ErrUnexpected, l.Payload)
	}
	e.Body = []byte(payload.Raw)
	if payload.Type == gjson.String {
		e.Body = []byte(payload.String())
	}
	return e, nil
}

func shorten(s string) string {
	if len(s) > maxNameless {
		return s[:maxNameless] + "..."
	}
	return s
}

func (c *Client) once(ctx context.Context, address string) ([]byte, http.Header, int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, http.StatusBadRequest, fmt.Errorf("%w: address of a page", ErrUnexpected)
	}
	for name, value := range c.Listing.Header {
		req.Header.Set(name, value)
	}
	req.Header.Set("User-Agent", c.Agent)
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	// a redirect is not followed: the credentials would go with it
	resp, err := c.HTTP.RoundTrip(req)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, nil, 0, fmt.Errorf("%s does not answer: %w", req.URL.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, nil, 0, fmt.Errorf("answer of %s broke off: %w", req.URL.Host, err)
	case resp.StatusCode != http.StatusOK:
		return body, resp.Header, resp.StatusCode, fmt.Errorf("%w: %s answered %s", ErrRefused, req.URL.Host, resp.Status)
	case len(body) > maxAnswer:
		return nil, nil, resp.StatusCode, fmt.Errorf("%w: answer of %s is larger than %d bytes", ErrUnexpected, req.URL.Host, maxAnswer)
	case !verifiers.ValidJSON(body):
		return nil, nil, resp.StatusCode, fmt.Errorf("%w: answer of %s is not JSON", ErrUnexpected, req.URL.Host)
	}
	return body, resp.Header, resp.StatusCode, nil
}
