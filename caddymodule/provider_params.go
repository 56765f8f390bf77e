package caddymodule

import (
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// liveParams are the params of a source's provider whose values are in files, by name.
type liveParams map[string]*secretSet

// resolveParams puts values in the place of placeholders in a provider's params, which may be secret. Those from files stay live.
func resolveParams(spec *verifiers.Spec, logger *zap.Logger) (*verifiers.Spec, liveParams, error) {
	resolved, live := *spec, make(liveParams)
	resolved.Values = make(map[string]string, len(spec.Values))
	for _, name := range sortedKeys(spec.Values) {
		set, err := newSecretSet([]string{spec.Values[name]}, logger)
		if err != nil {
			return nil, nil, fmt.Errorf("param %s: %w", name, err)
		}
		resolved.Values[name] = string(set.sources[0].value)
		if set.sources[0].mayChange() {
			live[name] = set
		}
	}
	return &resolved, live, nil
}

// require refuses new values with which the provider would be a mistake in the configuration. spec has those of now.
func (params liveParams) require(spec *verifiers.Spec, opts ...verifiers.Option) error {
	for _, name := range sortedKeys(params) {
		err := params[name].require(func(value verifiers.Secret) error {
			changed := *spec
			changed.Values = maps.Clone(spec.Values)
			changed.Values[name] = string(value.Bytes())
			_, err := verifiers.Compile(&changed, opts...)
			return verifiers.OptionError(err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// present is the live value of a param; see [verifiers.WithParams].
func (params liveParams) present(name string) (string, bool) {
	set, ok := params[name]
	if !ok {
		return "", false
	}
	return string(set.get(now())[0].Bytes()), true
}

// failing says of each param whose file cannot be used at present why.
func (params liveParams) failing(now time.Time) (out []string) {
	for _, name := range sortedKeys(params) {
		out = append(out, params[name].failing(now)...)
	}
	return out
}
