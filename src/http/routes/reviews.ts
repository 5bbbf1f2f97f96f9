import { ok } from '../../result.ts';
import * as contract from '../contract.ts';
import { addEndpoint, type Border } from '../endpoint.ts';
import { reviewJson } from '../rows.ts';

const tag = 'Reviews';

export function addReviewRoutes(border: Border): void {
  const { verbs } = border;
  const answers = { 200: { description: 'The review', schema: contract.reviewResponse } };

  addEndpoint(border, {
    operation: 'listReviews',
    method: 'get',
    path: '/v1/reviews',
    tag,
    summary:
      'List the reviews of break-glass that nobody has closed: of your own uses, and those that you may close',
    answers: { 200: { description: 'The reviews', schema: contract.reviews } },
    problems: ['not-found'],
    async serve({ caller, now }) {
      const rows = await verbs.listReviews(caller);
      if (!rows.ok) return rows;
      return ok({ status: 200, json: { reviews: rows.value.map((row) => reviewJson(row, now)) } });
    },
  });

  addEndpoint(border, {
    operation: 'readReview',
    method: 'get',
    path: '/v1/reviews/{id}',
    tag,
    summary: 'Read a review',
    answers,
    problems: ['not-found'],
    async serve({ caller, id, now }) {
      const row = await verbs.readReview(caller, id);
      return row.ok ? ok({ status: 200, json: { review: reviewJson(row.value, now) } }) : row;
    },
  });

  addEndpoint(border, {
    operation: 'closeReview',
    method: 'post',
    path: '/v1/reviews/{id}/close',
    tag,
    summary: 'Close the review of what somebody else did, with what was found',
    description:
      'For those whom the grant names as reviewers. Nobody closes a review of what he did himself.',
    body: contract.closeReviewRequest,
    answers,
    problems: ['not-found', 'in-progress'],
    async serve({ caller, id, body, now }) {
      const row = await verbs.closeReview(caller, id, body.finding);
      return row.ok ? ok({ status: 200, json: { review: reviewJson(row.value, now) } }) : row;
    },
  });
}
