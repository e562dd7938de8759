package probe

import "github.com/prometheus/common/config"

func compileOAuth2(c *config.OAuth2) (authorizer, error) {
	return nil, optionErrorf("token_url", "oauth2 is not built in")
}
