/** Flow control parameters for tests: C tor's defaults. */
import { flowParams } from '../../src/daemon/flow-params.ts';
import { NO_PARAMS, paramValue } from '../../src/netdoc/consensus-params.ts';
import type { FlowParams } from '../../src/shm/flow-params.ts';

export const FLOW_PARAMS: FlowParams = flowParams((name) => paramValue(NO_PARAMS, name));
