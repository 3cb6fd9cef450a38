import { Body, Controller, Get, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import {
  changedKey,
  keyId,
  keyPage,
  listKeysQuery,
  provisionKeyBody,
  repeatedIssuedKey,
  repeatedRotatedKey,
  revokeKeyBody,
  rotateKeyBody,
  type ListKeysQuery,
  type ProvisionKeyBody,
  type RevokeKeyBody,
  type RotateKeyBody,
} from '#contracts';
import { Roles } from '#jwt-guard';
import { ApiHeader, ApiOperation, ApiResponse, ApiTags } from '#server';
import type { UpstreamAnswer } from '../upstream.js';
import { KeyProvisioner } from './key-provisioner.js';

const listOwnKeysQuery = listKeysQuery.omit({ service: true });
const Idempotent = () =>
  ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description:
      'Sent again within 24 hours, with the same body, it gets the same answer and nothing is done twice; ' +
      'after 10 minutes the answer comes without its secret',
  });

/** Keys for this service, made at the key service for whoever is an admin there. */
@ApiTags('Keys')
@Roles('admin')
@Controller('v1/api-keys')
export class ProvisioningController {
  constructor(private readonly keys: KeyProvisioner) {}

  @Post()
  @Idempotent()
  @ApiOperation({ summary: 'Make a key for this service; its secret is shown this once' })
  @ApiResponse({ status: 201, standardSchema: repeatedIssuedKey })
  async create(
    @Body({ schema: provisionKeyBody }) body: ProvisionKeyBody,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return passOn(await this.keys.create(body, request), reply);
  }

  @Get()
  @ApiOperation({ summary: 'List the keys that are granted for this service' })
  @ApiResponse({ status: 200, standardSchema: keyPage })
  async list(
    @Query({ schema: listOwnKeysQuery }) query: Omit<ListKeysQuery, 'service'>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return passOn(await this.keys.list(query, request), reply);
  }

  @Post(':id/rotate')
  @HttpCode(200)
  @Idempotent()
  @ApiHeader({
    name: 'If-Match',
    required: false,
    description: 'The ETag of the version to rotate',
  })
  @ApiOperation({ summary: 'Give a key a new secret; the old one goes on for the overlap' })
  @ApiResponse({ status: 200, standardSchema: repeatedRotatedKey })
  async rotate(
    @Param('id', { schema: keyId }) id: string,
    @Body({ schema: rotateKeyBody.prefault({}) }) body: RotateKeyBody,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return passOn(await this.keys.rotate(id, body, request), reply);
  }

  @Post(':id/revoke')
  @HttpCode(200)
  @ApiOperation({
    summary: 'End a key for good',
    description:
      'One that is revoked already stays as it was: the answer shows the reason that was given first.',
  })
  @ApiResponse({ status: 200, standardSchema: changedKey })
  async revoke(
    @Param('id', { schema: keyId }) id: string,
    @Body({ schema: revokeKeyBody }) body: RevokeKeyBody,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return passOn(await this.keys.revoke(id, body, request), reply);
  }
}

/** Headers that say something of the answer itself. */
const PASSED_ON = ['etag', 'idempotency-replayed', 'keyward-propagation'];

function passOn<T>({ data, headers }: UpstreamAnswer<T>, reply: FastifyReply): T {
  for (const name of PASSED_ON) {
    const value = headers.get(name);
    if (value !== null) void reply.header(name, value);
  }
  return data;
}
