package reconcile

import (
	"fmt"
	"net/url"
	"strings"
)

// Stripe lists a Stripe account's events, which Stripe keeps for 30 days. key is a secret or restricted key that may read events. An empty base is Stripe itself.
// See https://docs.stripe.com/api/events/list.
func Stripe(base, key string) *Listing {
	if base == "" {
		base = "https://api.stripe.com"
	}
	return &Listing{
		URL:    base + "/v1/events?limit=100&created%5Bgte%5D={since}&created%5Blt%5D={until}",
		Header: map[string]string{"Authorization": "Bearer " + key},
		Items:  "data", ID: []string{"id"}, Type: "type", Time: "created",
		Next: Next{By: "last", Path: "id", Param: "starting_after", More: "has_more"},
	}
}

// GitHub lists the deliveries of a webhook, which GitHub keeps for 3 days. hook is its path in the API: repos/<owner>/<name>/hooks/<id>, orgs/<name>/hooks/<id> or app/hook. An empty
// base is github.com; that of an Enterprise Server ends with /api/v3. See https://docs.github.com/en/rest/repos/webhooks#list-deliveries-for-a-repository-webhook.
func GitHub(base, hook, token string) (*Listing, error) {
	if base == "" {
		base = "https://api.github.com"
	}
	hook = strings.Trim(hook, "/")
	parts := strings.Split(hook, "/")
	switch {
	case hook == "app/hook":
	case len(parts) == 5 && parts[0] == "repos" && parts[3] == "hooks", len(parts) == 4 && parts[0] == "orgs" && parts[2] == "hooks":
	default:
		return nil, fmt.Errorf("hook %q: want repos/<owner>/<name>/hooks/<id>, orgs/<name>/hooks/<id> or app/hook", hook)
	}
	return &Listing{
		URL: base + "/" + hook + "/deliveries?per_page=100",
		Header: map[string]string{
			"Authorization": "Bearer " + token, "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28",
		},
		ID: []string{"guid"}, Type: "event", Time: "delivered_at",
		Detail: base + "/" + hook + "/deliveries/{id}", Payload: "request.payload", Headers: "request.headers",
		Make: map[string]string{"X-GitHub-Delivery": "{guid}", "X-GitHub-Event": "{event}", "Content-Type": "application/json"},
		Next: Next{By: "link"},
	}, nil
}

// Shopify lists a shop's resources (orders, products, customers, ...) that were updated. Shopify keeps no list of webhooks: what is compared is the last update of each resource, by
// CompareShopify, with the updates that arrived. token is an access token of the Admin API with the scope for the resource.
// See https://shopify.dev/docs/api/admin-rest/latest/resources/order.
func Shopify(base, shop, resource, token string) (*Listing, error) {
	if base == "" {
		base = "https://" + shop
	}
	if strings.Trim(resource, "abcdefghijklmnopqrstuvwxyz_") != "" || resource == "" {
		return nil, fmt.Errorf("resource %q: want one such as orders, products or customers", resource)
	}
	if u, err := url.Parse("https://" + shop); err != nil || u.Host != shop || shop == "" {
		return nil, fmt.Errorf("shop %q: want its domain, such as example.myshopify.com", shop)
	}
	status := ""
	if resource == "orders" {
		status = "&status=any" // else only open ones
	}
	return &Listing{
		URL:        base + "/admin/api/" + shopifyVersion + "/" + resource + ".json?limit=250&updated_at_min={since}&updated_at_max={until}" + status,
		TimeFormat: "rfc3339", Header: map[string]string{"X-Shopify-Access-Token": token},
		Items: resource, ID: []string{"id", "updated_at"}, Time: "updated_at",
		Make: map[string]string{
			"X-Shopify-Topic": shopifyUpdated(resource), "X-Shopify-Shop-Domain": shop, "X-Shopify-Event-Id": "reconcile-{id}-{updated_at}",
			"X-Shopify-Triggered-At": "{updated_at}", "X-Shopify-Api-Version": shopifyVersion, "Content-Type": "application/json",
		},
		Next: Next{By: "link"},
	}, nil
}

const shopifyVersion = "2026-10"

// CompareShopify tells an update of a resource, in a webhook's body as in the list: there is no id that both have.
const CompareShopify = "json:id json:updated_at"

// shopifyUpdated is the topic of a resource's updates: orders/updated, but products/update.
func shopifyUpdated(resource string) string {
	if resource == "orders" || resource == "draft_orders" {
		return resource + "/updated"
	}
	return resource + "/update"
}
