package dragon

import "context"

type typeAnswer struct{ model string }

var typeFields = table(text("type", func(t *typeAnswer) *string { return &t.model }).always())

// Type reads /api/type: the model, e.g. T1. It may be empty.
func (c *Client) Type(ctx context.Context) (string, error) {
	t, _, err := call(ctx, c, read("type"), nil, &typeFields)
	if err != nil {
		return "", err
	}
	model := upper(t.model)
	c.setModel(model)
	return model, nil
}

// Ping calls /api/ping, which only says success. It is made to find a dragon again
// after a change of its network.
func (c *Client) Ping(ctx context.Context) error { return c.tell(ctx, read("ping"), nil) }
