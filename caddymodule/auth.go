package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// Auth is the credentials that an application asks for; one of them is set.
type Auth struct {
	// A bearer token.
	Bearer string `json:"bearer,omitempty"`
	// User and password of HTTP Basic.
	Basic *BasicAuth `json:"basic,omitempty"`
	// OAuth 2.0 client credentials; the token is fetched, and renewed when it expires or the application answers 401 to it.
	OAuth2 *OAuth2 `json:"oauth2,omitempty"`

	secrets *secretSet
	tokens  *tokenSource // of oauth2
}

// BasicAuth is a user and a password.
type BasicAuth struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// OAuth2 is the client credentials grant (RFC 6749, section 4.4).
type OAuth2 struct {
	TokenURL     string   `json:"token_url"`
	ClientID     string   `json:"client_id"`
	ClientSecret string   `json:"client_secret"`
	Scopes       []string `json:"scopes,omitempty"`
}

// authorizer puts credentials on a request. A nil function puts none.
type authorizer func(ctx context.Context, now time.Time, h http.Header) error

func (a authorizer) authorize(ctx context.Context, now time.Time, h http.Header) error {
	if a == nil {
		return nil
	}
	return a(ctx, now, h)
}

func (config *Auth) provision(logger *zap.Logger) (authorizer, error) {
	if config == nil {
		return nil, nil
	}
	switch {
	case config.Bearer != "" && config.Basic == nil && config.OAuth2 == nil:
		return config.provisionBearer(logger)
	case config.Basic != nil && config.Bearer == "" && config.OAuth2 == nil:
		return config.provisionBasic(logger)
	case config.OAuth2 != nil && config.Bearer == "" && config.Basic == nil:
		return config.provisionOAuth2(logger)
	}
	return nil, errors.New("want exactly one of bearer, basic and oauth2")
}

func (config *Auth) provisionBearer(logger *zap.Logger) (_ authorizer, err error) {
	if config.secrets, err = newSecretSet([]string{config.Bearer}, logger); err != nil {
		return nil, err
	}
	return func(_ context.Context, now time.Time, h http.Header) error {
		h.Set("Authorization", "Bearer "+string(config.secrets.get(now)[0].Bytes()))
		return nil
	}, config.secrets.require(fitsHeader)
}

func (config *Auth) provisionBasic(logger *zap.Logger) (_ authorizer, err error) {
	if config.secrets, err = newSecretSet([]string{config.Basic.User, config.Basic.Password}, logger); err != nil {
		return nil, err
	}
	return func(_ context.Context, now time.Time, h http.Header) error {
		pair := config.secrets.get(now)
		r := http.Request{Header: h}
		r.SetBasicAuth(string(pair[0].Bytes()), string(pair[1].Bytes()))
		return nil
	}, config.secrets.require(fitsUser, fitsHeader)
}

func (config *Auth) provisionOAuth2(logger *zap.Logger) (_ authorizer, err error) {
	if err := config.OAuth2.checkURL(); err != nil {
		return nil, err
	}
	if config.secrets, err = newSecretSet([]string{config.OAuth2.ClientID, config.OAuth2.ClientSecret}, logger); err != nil {
		return nil, err
	}
	config.tokens = &tokenSource{config: config.OAuth2, secrets: config.secrets}
	return config.tokens.authorize, config.secrets.require(fitsHeader)
}

// refused notes that the application answered 401 to a request with this header.
func (config *Auth) refused(h http.Header) {
	if config != nil && config.tokens != nil {
		config.tokens.refused(h.Get("Authorization"))
	}
}
