package dragon

import "context"

// Stats reads /api/stats: the miner process's own reply to "stats", which every
// driver words differently. Raw is it; DebugStats is the same in words.
func (c *Client) Stats(ctx context.Context) (*Answer, error) {
	_, a, err := call(ctx, c, read("stats"), nil, &noFields)
	if err != nil {
		return nil, err
	}
	return &a.Answer, nil
}
