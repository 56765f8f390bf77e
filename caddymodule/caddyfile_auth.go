package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func parseAuth(d *caddyfile.Dispenser, dest *Destination) error {
	if dest.Auth != nil {
		return d.Err("credentials are already specified: want only one of bearer, basic and oauth2")
	}
	dest.Auth = new(Auth)
	switch d.Val() {
	case "bearer":
		if err := parseText(d, &dest.Auth.Bearer, "a token"); err != nil {
			return err
		}
		return checkSecretsOf(d, "bearer", dest.Auth.Bearer)
	case "basic":
		b := new(BasicAuth)
		dest.Auth.Basic = b
		if !d.AllArgs(&b.User, &b.Password) {
			return d.Err("basic: want a user and a password")
		}
		return checkSecretsOf(d, "basic", b.User, b.Password)
	}
	dest.Auth.OAuth2 = new(OAuth2)
	return dest.Auth.OAuth2.parse(d)
}

func (o *OAuth2) parse(d *caddyfile.Dispenser) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch d.Val() {
		case "token_url":
			err = parseText(d, &o.TokenURL, "a URL")
			if wrong := o.checkURL(); err == nil && wrong != nil {
				err = d.WrapErr(wrong)
			}
		case "client_id":
			if err = parseText(d, &o.ClientID, "the client's id"); err == nil {
				err = checkSecretsOf(d, "client_id", o.ClientID)
			}
		case "client_secret":
			if err = parseText(d, &o.ClientSecret, "the client's secret"); err == nil {
				err = checkSecretsOf(d, "client_secret", o.ClientSecret)
			}
		case "scopes":
			err = parseList(d, &o.Scopes, "scopes")
		default:
			err = d.Errf("unrecognized option '%s' of oauth2: want token_url, client_id, client_secret or scopes", d.Val())
		}
		if err != nil {
			return err
		}
	}
	if o.TokenURL == "" || o.ClientID == "" || o.ClientSecret == "" {
		return d.Err("oauth2: want token_url, client_id and client_secret")
	}
	return nil
}
