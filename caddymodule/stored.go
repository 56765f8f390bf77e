package caddymodule

import "net/url"

// parseStoredURL reads the address of a stored event, which was one when it was stored.
func parseStoredURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		return new(url.URL)
	}
	return u
}
