package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sluice-webhooks/sluice/caddymodule/reconcile"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// Reconcile says where the provider of a source lists its past events, so that those that never arrived can be found and fetched.
type Reconcile struct {
	// `stripe`, `github`, `shopify` or `pages`.
	API string `json:"api"`
	// Of github: the hook's path in the API, such as repos/acme/shop/hooks/1234. Of shopify: the shop's domain.
	Of string `json:"of,omitempty"`
	// Of shopify: orders, products, customers, ...
	Resource string `json:"resource,omitempty"`
	// Key or token of the API: a placeholder such as {env.X} or {file./path}.
	Key string `json:"key,omitempty"`
	// Address of the API, if it is not the provider's usual one.
	Base string `json:"base,omitempty"`
	// Types of the events that the webhook is subscribed to, if the list has others too, as Stripe's has; `*` at the end of one stands for any rest. Default: all.
	Types []string `json:"types,omitempty"`
	// Of pages: how the list is read. The values of its headers may be placeholders.
	Pages *reconcile.Listing `json:"pages,omitempty"`
	// Expression that tells an event in a listed payload and in one that arrived. Default: the event's id.
	Compare string `json:"compare,omitempty"`
}

const reconcileForms = "stripe <key>, github <hook> <token>, shopify <shop> <resource> <token> or pages <url> { ... }"

// listing resolves the configuration with the secrets of now.
func (r *Reconcile) listing() (*reconcile.Listing, error) {
	key := ""
	if r.API != "pages" {
		secret, err := newSecretSource(r.Key)
		if err != nil {
			return nil, err
		}
		key = strings.TrimSpace(string(secret.value))
	}
	base := strings.TrimSuffix(r.Base, "/")
	var l *reconcile.Listing
	var err error
	switch r.API {
	case "stripe":
		l = reconcile.Stripe(base, key, r.Types...)
	case "github":
		l, err = reconcile.GitHub(base, r.Of, key)
	case "shopify":
		l, err = reconcile.Shopify(base, r.Of, r.Resource, key)
	case "pages":
		if r.Pages == nil {
			return nil, errors.New("pages: says nothing about the list")
		}
		copied := *r.Pages
		l = &copied
		l.Header, err = resolveHeaders(r.Pages.Header)
	default:
		return nil, fmt.Errorf("unknown API %q: want %s", r.API, reconcileForms)
	}
	if err != nil {
		return nil, err
	}
	l.Types = r.Types
	return l, l.Validate()
}

// check finds what listing would find, without the secrets.
func (r *Reconcile) check() error {
	probe := *r
	if r.Key != "" {
		if err := checkWritten(r.Key); err != nil {
			return err
		}
		probe.Key = "key"
	}
	if r.Pages != nil {
		for _, name := range sortedKeys(r.Pages.Header) {
			if err := checkWritten(r.Pages.Header[name]); err != nil {
				return fmt.Errorf("header %s: %w", name, err)
			}
		}
		pages := *r.Pages
		pages.Header = nil
		probe.Pages = &pages
	}
	_, err := probe.listing()
	_, compareErr := probe.compare()
	return cmp.Or(err, compareErr)
}

func resolveHeaders(header map[string]string) (map[string]string, error) {
	resolved := make(map[string]string, len(header))
	for _, name := range sortedKeys(header) {
		secret, err := newSecretSource(header[name])
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", name, err)
		}
		resolved[name] = strings.TrimSpace(string(secret.value))
	}
	return resolved, nil
}

// compare is the expression by which events are told; nil for the event's id.
func (r *Reconcile) compare() (*verifiers.Expr, error) {
	text := r.Compare
	if text == "" && r.API == "shopify" {
		text = reconcile.CompareShopify
	}
	if text == "" {
		return nil, nil
	}
	expr, err := verifiers.ParseExpr(text)
	return &expr, err
}

// provisionReconcile checks the configuration, so that a mistake in it is not found after an outage.
func (h *Handler) provisionReconcile() error {
	if h.Reconcile == nil {
		return nil
	}
	if _, err := h.Reconcile.listing(); err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	if _, err := h.Reconcile.compare(); err != nil {
		return fmt.Errorf("reconcile: compare: %w", err)
	}
	return nil
}

// reconcileTransport carries the calls of providers' APIs.
var reconcileTransport = http.DefaultTransport.(*http.Transport).Clone()

// parseReconcile reads how events are listed. Syntax:
//
//	reconcile stripe  <key> [<address of the API>] {
//	    types <type>...
//	}
//	reconcile github  <hook> <token> [<address of the API>] {
//	    types <type>...
//	}
//	reconcile shopify <shop> <resource> <token> [<address of the API>]
//	reconcile pages   <url> {
//	    header  <Name> <value>
//	    times   unix|unix_ms|rfc3339
//	    items   <path>
//	    id      <path>...
//	    type    <path>
//	    types   <type>...
//	    time    <path>
//	    detail  <url>
//	    payload <path>
//	    headers <path>
//	    make    <Name> <template>
//	    next    link|none | url <path> | cursor <path> <parameter> | last <path> <parameter> | page <parameter>
//	    more    <path>
//	    compare <expr>...
//	}
func (h *Handler) parseReconcile(d *caddyfile.Dispenser) error {
	if h.Reconcile != nil {
		return d.Err("reconcile is already specified")
	}
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Errf("reconcile: want %s", reconcileForms)
	}
	at := d.Token()
	r := &Reconcile{API: args[0]}
	into := map[string][]*string{
		"stripe": {&r.Key, &r.Base}, "github": {&r.Of, &r.Key, &r.Base}, "shopify": {&r.Of, &r.Resource, &r.Key, &r.Base},
	}[r.API]
	switch args = args[1:]; {
	case r.API == "pages" && len(args) == 1:
		r.Pages = &reconcile.Listing{URL: args[0]}
	case into != nil && (len(args) == len(into) || len(args) == len(into)-1):
		for i, text := range args {
			*into[i] = text
		}
	default:
		return d.Errf("reconcile: want %s", reconcileForms)
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch {
		case r.API == "shopify":
			err = d.Errf("unrecognized option '%s' of reconcile shopify: it takes none", d.Val())
		case d.Val() == "types":
			err = parseList(d, &r.Types, "types of events such as invoice.paid")
		case r.Pages == nil:
			err = d.Errf("unrecognized option '%s' of reconcile %s: want types", d.Val(), r.API)
		default:
			err = r.parsePages(d)
		}
		if err != nil {
			return err
		}
	}
	h.Reconcile = r
	if err := r.check(); err != nil {
		return placed(fmt.Errorf("reconcile: %w", err), at)
	}
	return nil
}

func (r *Reconcile) parsePages(d *caddyfile.Dispenser) error {
	l := r.Pages
	if text, ok := map[string]struct {
		into *string
		want string
	}{
		"times":   {&l.TimeFormat, "unix, unix_ms or rfc3339"},
		"items":   {&l.Items, "the path of the list in a page"},
		"type":    {&l.Type, "the path of the event's type in an item"},
		"time":    {&l.Time, "the path of the event's time in an item"},
		"detail":  {&l.Detail, "an address with {path} for what an item has there"},
		"payload": {&l.Payload, "the path of the webhook's body"},
		"headers": {&l.Headers, "the path of the webhook's headers"},
		"more":    {&l.Next.More, "the path that says whether there is another page"},
	}[d.Val()]; ok {
		return parseText(d, text.into, text.want)
	}
	switch name := d.Val(); name {
	case "header", "make":
		args := d.RemainingArgs()
		if len(args) != 2 {
			return d.Errf("%s: want a name and a value", name)
		}
		if name == "header" {
			l.Header = withEntry(l.Header, args[0], args[1])
		} else {
			l.Make = withEntry(l.Make, args[0], args[1])
		}
		return nil
	case "id":
		return parseList(d, &l.ID, "the path of the event's id in an item")
	case "compare":
		var words []string
		err := parseList(d, &words, "expressions such as json:id")
		r.Compare = strings.Join(words, " ")
		return err
	case "next":
		return parseNext(d, &l.Next)
	default:
		return d.Errf("unrecognized option '%s' of reconcile pages: want types, items, id, type, time, times, detail, payload, headers, more, next, header, make or compare", name)
	}
}

func parseNext(d *caddyfile.Dispenser, n *reconcile.Next) error {
	args := d.RemainingArgs()
	into := map[string][]*string{
		"link": {}, "none": {}, "url": {&n.Path}, "cursor": {&n.Path, &n.Param}, "last": {&n.Path, &n.Param}, "page": {&n.Param},
	}
	if len(args) == 0 || into[args[0]] == nil || len(into[args[0]]) != len(args)-1 {
		return d.Err("next: want link, url <path>, cursor <path> <parameter>, last <path> <parameter>, page <parameter> or none")
	}
	n.By = args[0]
	for i, p := range into[n.By] {
		*p = args[i+1]
	}
	return nil
}
