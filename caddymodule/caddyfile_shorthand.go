package caddymodule

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// caddyShorthands are the short names of placeholders that Caddy expands in a site block before directives are read: {path} becomes
// {http.request.uri.path}. Those that end with a dot take a name of any kind, and come after the ones that they are the beginning of.
const caddyShorthands = "host hostport port orig_method orig_uri orig_path orig_dir orig_file orig_query orig_?query method uri %uri path %path dir file query %query ?query" +
	" remote remote_host remote_port scheme uuid tls_cipher tls_version tls_client_fingerprint tls_client_issuer tls_client_serial tls_client_subject" +
	" tls_client_certificate_pem tls_client_certificate_der_base64 upstream_hostport client_ip" +
	" header. cookie. labels. file. path. query. re. vars. rp. resp. err. file_match."

// written gives back what stood in the Caddyfile, for options in which braces are not placeholders of Caddy: templates over a request, jq and CEL.
var written = shorthandsReversed()

func shorthandsReversed() *strings.Replacer {
	var pairs []string
	replacer := httpcaddyfile.NewShorthandReplacer()
	for _, name := range strings.Fields(caddyShorthands) {
		const sample, end = "x", "}"
		short := "{" + name
		if strings.HasSuffix(name, ".") {
			short += sample
		}
		segment := caddyfile.Segment{{Text: short + end}}
		replacer.ApplyToSegment(&segment)
		long := segment[0].Text
		if strings.HasSuffix(name, ".") {
			long, short = strings.TrimSuffix(long, sample+end), strings.TrimSuffix(short, sample)
		} else {
			short += end
		}
		pairs = append(pairs, long, short)
	}
	return strings.NewReplacer(pairs...)
}

// asWritten undoes Caddy's expansion of shorthands in arguments.
func asWritten(args []string) []string {
	for i, arg := range args {
		args[i] = written.Replace(arg)
	}
	return args
}
