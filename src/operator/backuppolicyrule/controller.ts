import { surveyRule } from '../../api/demands/survey.ts';
import type { BackupPolicyRule } from '../../api/generated/types.ts';
import { BackupPolicyRules } from '../../api/kinds.ts';
import { soundLookup } from '../../api/sound-lookup.ts';
import type { Cache } from '../../kube/cache.ts';
import { Controller, enqueueOwner, enqueueSelf, specChanged } from '../../kube/controller.ts';
import { type KubeObject, keyOf } from '../../kube/resource.ts';
import { lookupOf, type RuleCaches } from '../caches.ts';
import { causesOf, controllerOptions, type OperatorContext } from '../context.ts';
import { createReconciler } from '../reconcile/reconciler.ts';
import { planBackupPolicyRule, RULE_STATUS, type RuleWorld } from './plan.ts';

const NAME = 'backuppolicyrule';
/** How long changes of what rules are about are gathered before it is counted again. */
const SURVEY_AFTER_MS = 2000;

/** Keeps the policies that are made of BackupPolicyRules, and counts what breaks them. */
export function createBackupPolicyRuleController(context: OperatorContext, own: RuleCaches): Controller {
  const { client, caches } = context;
  const lookup = soundLookup(lookupOf(caches));

  function gather(rule: BackupPolicyRule): RuleWorld {
    const now = new Date();
    const causes = causesOf('BackupPolicyRule', rule);
    return {
      rule,
      causes,
      policies: own.policies.list(),
      bindings: own.bindings.list(),
      survey: causes.length > 0 ? { counts: [], violations: [] } : surveyRule(rule, lookup, now),
      now,
    };
  }

  const reconcile = createReconciler({
    name: NAME,
    client,
    cache: own.rules,
    live: caches,
    notes: context.notes(NAME),
    own: RULE_STATUS,
    gather,
    plan: planBackupPolicyRule,
  });
  const controller = new Controller({ name: NAME, reconcile, ...controllerOptions(context) });
  controller.watch(own.rules, enqueueSelf, specChanged);
  controller.watch(own.policies, enqueueOwner(BackupPolicyRules));
  controller.watch(own.bindings, enqueueOwner(BackupPolicyRules));
  const about = [
    ...[caches.configurations, caches.storages, caches.policies, caches.addons, caches.appBindings],
    caches.namespaces,
  ] as unknown as Cache<KubeObject>[];
  for (const cache of about) {
    controller.watch(
      cache,
      () => {
        // A thousand changes in a row are counted once.
        for (const rule of own.rules.list()) controller.queue.addAfter(keyOf(rule), SURVEY_AFTER_MS);
        return [];
      },
      specChanged,
    );
  }
  return controller;
}
