package verifiers

import (
	"net"
	"net/url"
	"slices"
	"strings"
)

// addresses tries other spellings of the address, where that is signed.
func (d *diagnostician) addresses() {
	if d.r.URL == nil || !slices.ContainsFunc([]place{placeURL, placePath, placeTarget, placeHost, placeRawQuery}, d.p.usesContent) {
		return
	}
	for _, c := range d.addressChanges() {
		if d.exhausted() {
			return
		}
		if c.url.String() == d.r.URL.String() {
			continue
		}
		r := *d.r
		r.URL = &c.url
		if d.genuine(d.p, &r, d.secrets) {
			d.found("url", true, "the signature fits the address %s: set public_url to what the provider calls", c.what)
		}
	}
}

type addressChange struct {
	what string
	url  url.URL
}

// addressChanges lists what proxies do to an address, the other way round.
func (d *diagnostician) addressChanges() []addressChange {
	var out []addressChange
	add := func(what string, change func(u *url.URL)) {
		u := *d.r.URL
		change(&u)
		out = append(out, addressChange{what, u})
	}
	scheme := map[string]string{"http": "https", "https": "http"}[d.r.URL.Scheme]
	hosts := d.hosts()
	for _, host := range append([]string{d.r.URL.Host}, hosts...) {
		for _, s := range []string{d.r.URL.Scheme, scheme} {
			what := "with " + s
			if host != d.r.URL.Host {
				what += " and another host (port, or what a forwarding header says)"
			}
			add(what, func(u *url.URL) { u.Scheme, u.Host = s, host })
		}
	}
	setPath := func(p string) func(u *url.URL) { return func(u *url.URL) { u.Path, u.RawPath = p, "" } }
	path := d.r.URL.Path
	add("with a slash at the end of the path", setPath(strings.TrimSuffix(path, "/")+"/"))
	add("without the slash at the end of the path", setPath(strings.TrimSuffix(path, "/")))
	for _, header := range []string{"X-Forwarded-Prefix", "X-Original-Uri", "X-Rewrite-Url"} {
		if v := d.r.Header.Get(header); strings.HasPrefix(v, "/") {
			v, _, _ = strings.Cut(v, "?")
			add("with the path of "+header, setPath(v))
			add("with "+header+" before the path", setPath(strings.TrimSuffix(v, "/")+path))
		}
	}
	// A path prefix that something added.
	rest := path
	for range 3 {
		_, after, ok := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
		if !ok {
			break
		}
		rest = "/" + after
		add("without the beginning of the path", setPath(rest))
	}
	add("without the query", func(u *url.URL) { u.RawQuery, u.ForceQuery = "", false })
	add("with the query in order of names", func(u *url.URL) { u.RawQuery = u.Query().Encode() })
	add("with the query unescaped", func(u *url.URL) {
		if q, err := url.QueryUnescape(u.RawQuery); err == nil {
			u.RawQuery = q
		}
	})
	return out
}

// hosts lists what the host may have been.
func (d *diagnostician) hosts() []string {
	var hosts []string
	add := func(h string) {
		if h != "" && h != d.r.URL.Host && !slices.Contains(hosts, h) && len(h) < 256 {
			hosts = append(hosts, h)
		}
	}
	for _, name := range []string{"X-Forwarded-Host", "X-Original-Host"} {
		first, _, _ := strings.Cut(d.r.Header.Get(name), ",")
		add(strings.TrimSpace(first))
	}
	host := d.r.URL.Hostname()
	add(host)
	add(strings.ToLower(d.r.URL.Host))
	for _, port := range []string{"443", "80", "8443", "8080", d.r.Header.Get("X-Forwarded-Port")} {
		if port != "" {
			add(net.JoinHostPort(host, port))
		}
	}
	add("www." + host)
	add(strings.TrimPrefix(host, "www."))
	return hosts
}

// headers looks for what should carry the signature: absent, renamed on the way, repeated, or of an older version.
func (d *diagnostician) headers() {
	spec := d.p.spec
	if d.p.sig.place == placeHeader && d.p.usesSignature() {
		d.group("signature", d.p.sig.names)
		d.versions()
	}
	if spec.Timestamp.In == "header" {
		d.group("timestamp", spec.Timestamp.Names)
	}
	if name, ok := strings.CutPrefix(spec.MessageID, "header:"); ok && d.p.usesContent(placeID) {
		d.group("message id", []string{strings.Fields(name)[0]})
	}
	for _, name := range spec.Signature.Legacy {
		if d.r.Header.Get(name) != "" {
			d.found("legacy_signature", false, "%s carries a signature of another kind, which is not used", name)
		}
	}
}

// group looks for a header of any of the names.
func (d *diagnostician) group(what string, names []string) {
	if slices.ContainsFunc(names, func(n string) bool { return d.r.Header.Get(n) != "" }) {
		for _, n := range names {
			if len(d.r.Header.Values(n)) > 1 && !d.p.spec.Signature.Repeatable {
				d.found("header_repeated", false, "%s occurs several times: something adds it again", n)
			}
		}
		return
	}
	if d.out.Reason != "unsigned" && d.out.Reason != "malformed" {
		return
	}
	for _, n := range names {
		for got := range d.r.Header {
			if sameLetters(n, got) {
				d.found("header_renamed", false, "the %s should be in %s; %s is there instead: something changed its name", what, n, got)
				return
			}
		}
	}
	d.found("header_absent", false, "the %s is absent: expected %s", what, strings.Join(names[:min(len(names), 4)], " or "))
	if n := names[0]; strings.ContainsAny(n, "_.") {
		d.found("header_at_risk", false, "%s has an underscore or a dot in its name: many proxies drop such headers unless told otherwise", n)
	}
}

// sameLetters compares names without case and punctuation.
func sameLetters(a, b string) bool {
	strip := func(r rune) rune {
		if r == '-' || r == '_' || r == '.' {
			return -1
		}
		return r
	}
	return !strings.EqualFold(a, b) && strings.EqualFold(strings.Map(strip, a), strings.Map(strip, b))
}

// knownVersions are the marks that stand before signatures; nothing else of a value is ever repeated.
var knownVersions = []string{"v0=", "v1=", "v2=", "v3=", "v1,", "v1a,", "v2,", "sha1=", "sha256=", "sha512=", "hmac-sha256=", "Bearer ", "Basic ", "t="}

// versions compares the mark before the signature with the one that is expected.
func (d *diagnostician) versions() {
	for _, n := range d.p.sig.names {
		v := d.r.Header.Get(n)
		for _, mark := range knownVersions {
			if strings.HasPrefix(v, mark) && !strings.Contains(d.p.sig.format.text, mark) && !strings.HasPrefix(d.p.sig.format.text, mark) {
				d.found("other_version", false, "%s begins with %q, expected %s: another version of the scheme", n, mark, d.p.sig.format.text)
			}
		}
	}
}
